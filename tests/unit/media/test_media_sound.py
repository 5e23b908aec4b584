"""Sound tracks of real files, made here: what is heard, when, and what becomes of damage."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from model_plugins.protocol import SOUND_RATE, VideoMedia
from pipeline.media.limits import MediaLimits
from pipeline.media.video import decode_video

LIMITS = MediaLimits()


def tone(seconds: float, rate: int, pitch: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def make_clip(
    sound: NDArray[np.float32] | None,
    rate: int = 44_100,
    layout: str = "stereo",
    seconds: int = 2,
    delay: float = 0.0,
    form: str = "mp4",
    codec: str = "aac",
) -> bytes:
    """A clip with a moving square, and the sound from `delay` seconds on, the same in all channels."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout=layout) if sound is not None else None
        for number in range(10 * seconds):
            frame = np.full((48, 64, 3), 40, np.uint8)
            frame[10:30, number : number + 20] = 220
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
            for start in range(0, len(sound), 1024):
                piece = np.tile(sound[start : start + 1024], (channels, 1))
                samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=layout)
                samples.rate, samples.time_base = rate, Fraction(1, rate)
                samples.pts = start + int(delay * rate)
                container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return file.getvalue()


def heard(data: bytes, limits: MediaLimits = LIMITS) -> NDArray[np.float32] | None:
    media = decode_video(data, "clip.mp4", limits, hears=True)
    assert isinstance(media, VideoMedia)
    return media.sound


def pitch_of(sound: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(spectrum.argmax() * SOUND_RATE / len(sound))


@pytest.mark.parametrize(("rate", "layout"), [(44_100, "stereo"), (48_000, "mono"), (16_000, "mono"), (48_000, "5.1")])
def test_any_rate_and_layout_becomes_mono_at_16_khz(rate: int, layout: str) -> None:
    sound = heard(make_clip(tone(2, rate), rate, layout))
    assert sound is not None
    assert sound.dtype == np.float32
    assert len(sound) / SOUND_RATE == pytest.approx(2, abs=0.15)
    assert np.abs(sound).max() <= 1
    assert pitch_of(sound[4000:-4000]) == pytest.approx(440, abs=3)


def test_sound_that_begins_late_is_heard_late() -> None:
    sound = heard(make_clip(tone(1, 44_100), delay=1.0, form="matroska", codec="flac"))
    assert sound is not None
    quiet, loud = sound[: int(0.9 * SOUND_RATE)], sound[int(1.1 * SOUND_RATE) : int(1.9 * SOUND_RATE)]
    assert np.abs(quiet).max() < 0.01
    assert np.abs(loud).max() > 0.3


def test_nothing_is_decoded_unless_somebody_hears() -> None:
    data = make_clip(tone(2, 44_100))
    silent = decode_video(data, "clip.mp4", LIMITS)
    listening = decode_video(data, "clip.mp4", LIMITS, hears=True)
    assert silent.sound is None
    np.testing.assert_array_equal(silent.frames, listening.frames)


def test_no_track_and_a_silent_one_are_none() -> None:
    assert heard(make_clip(None)) is None
    assert heard(make_clip(np.zeros(88_200, np.float32))) is None


def test_a_long_track_is_heard_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.media.sound.MOST_SECONDS", 5.0)
    sound = heard(make_clip(tone(6, 16_000), 16_000, "mono", seconds=2))
    assert sound is not None
    assert len(sound) == 5 * SOUND_RATE


def test_a_damaged_sound_track_does_not_cost_the_pictures() -> None:
    data = make_clip(tone(2, 44_100), form="matroska", codec="flac")
    damaged = bytearray(data)
    middle = len(data) // 2
    damaged[middle : middle + 2000] = bytes(np.random.default_rng(0).integers(0, 256, 2000, np.uint8))
    media = decode_video(bytes(damaged), "clip.mkv", LIMITS, hears=True)
    assert len(media.frames) >= 3
    assert media.sound is not None
    assert np.isfinite(media.sound).all()


def test_the_same_file_gives_the_same_sound() -> None:
    data = make_clip(tone(2, 44_100))
    np.testing.assert_array_equal(heard(data), heard(data))
