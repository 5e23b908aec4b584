"""Videos: two frames a second, upright and small, or a reason."""

from __future__ import annotations

import functools
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from x264 import X264

from materials.errors import Rejected
from model_plugins.protocol import VideoMedia
from pipeline.media.limits import MediaLimits
from pipeline.media.video import decode_video

LIMITS = MediaLimits()
CODECS = {"mp4": "libx264", "webm": "libvpx-vp9", "matroska": "libx264", "avi": "mpeg4", "mpegts": "libx264"}


def frame_at(index: int, width: int, height: int) -> np.ndarray:
    """Brightness tells the time; the upper left quarter is red, to tell which way is up."""
    rgb = np.full((height, width, 3), 40 + 2 * index, np.uint8)
    rgb[: height // 2, : width // 2] = (220, 20, 20)
    return rgb


@functools.cache
def video(
    container: str = "mp4", frames: int = 75, size: tuple[int, int] = (64, 48), rate: int = 25, aspect: int = 1
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        codec = CODECS[container]
        stream = out.add_stream(codec, rate=rate, options=dict(X264) if codec == "libx264" else None)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 10
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(frame_at(index, *size), "rgb24")
            for packet in stream.encode(picture):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return buffer.getvalue()


def code(data: bytes, limits: MediaLimits = LIMITS) -> str:
    with pytest.raises(Rejected) as caught:
        decode_video(data, "x.mp4", limits)
    assert "'x.mp4'" in caught.value.sentence
    return caught.value.code


def assert_times_are_those_of_the_frames(media: VideoMedia, rate: int = 25) -> None:
    brightness = media.frames[:, -4, -4].astype(float).mean(axis=1)
    assert np.abs((brightness - 40) / 2 - media.times * rate).max() <= 2


@pytest.mark.parametrize("container", CODECS)
def test_two_frames_a_second(container: str) -> None:
    media = decode_video(video(container), "x", LIMITS)
    assert media.frames.shape == (6, 48, 64, 3)
    assert media.frames.dtype == np.uint8
    assert np.abs(media.times - np.arange(6) / 2).max() <= 0.04
    assert media.duration == pytest.approx(3.0, abs=0.05)
    assert (media.width, media.height) == (64, 48)
    assert_times_are_those_of_the_frames(media)


def test_frames_are_scaled_and_the_size_is_the_files() -> None:
    media = decode_video(video(frames=5, size=(720, 400)), "x", LIMITS)
    assert media.frames.shape == (1, 200, 360, 3)
    assert (media.width, media.height) == (720, 400)


def test_pixels_that_are_not_square() -> None:
    media = decode_video(video("matroska", frames=5, aspect=2), "x", LIMITS)
    assert (media.width, media.height) == (128, 48)
    assert media.frames.shape == (1, 48, 128, 3)


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), (0, 0)), ((0, 1, -1, 0), (0, -1)), ((-1, 0, 0, -1), (-1, -1)), ((0, -1, 1, 0), (-1, 0))],
)
def test_phones_that_were_turned(matrix: tuple[int, ...], corner: tuple[int, int]) -> None:
    """ISO/IEC 14496-12, 8.3.2: the track header's matrix; (0, 1, -1, 0) turns the picture clockwise."""
    data = bytearray(video(frames=5))
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = ((value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    data[start : start + 8], data[start + 12 : start + 20] = a + b, c + d
    media = decode_video(bytes(data), "x", LIMITS)
    turned = matrix[0] == 0
    assert (media.width, media.height) == ((48, 64) if turned else (64, 48))
    assert media.frames.shape[1:3] == (media.height, media.width)
    y, x = (4 if place == 0 else -5 for place in corner)
    red, green, _ = media.frames[0, y, x].astype(int)
    assert red - green > 120


def test_longer_videos_are_sampled_more_thinly_and_evenly() -> None:
    media = decode_video(video(frames=100, rate=10), "x", MediaLimits(max_frames=5))
    assert media.times.tolist() == pytest.approx([0, 2, 4, 6, 8])
    assert_times_are_those_of_the_frames(media, 10)


def test_a_video_that_understates_its_length_is_thinned_out_underway() -> None:
    data = video("mpegts", frames=100, rate=10)
    end = data[: len(data) // 2] + data  # the container's estimate is of the time stamps at both ends
    media = decode_video(end, "x", MediaLimits(max_frames=4))
    assert 2 <= len(media.frames) <= 4
    assert (np.diff(media.times) > 0).all()


@pytest.mark.parametrize("container", ["mp4", "webm", "matroska", "avi"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated_videos_are_refused(container: str, share: float) -> None:
    data = video(container)
    assert code(data[: int(len(data) * share)]) in ("truncated_video", "not_a_video", "no_frames")


def test_a_cut_mp4_is_named_as_such(tmp_path: Path) -> None:
    assert code(video()[:-300]) == "truncated_video"
    path = tmp_path / "fast.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out, av.open(io.BytesIO(video())) as source:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert len(decode_video(data, "x", LIMITS).frames) == 6
    assert code(data[: len(data) * 2 // 3]) == "truncated_video"


def test_a_damaged_tail_is_stepped_over() -> None:
    data = video("matroska")
    media = decode_video(data[:-30], "x", LIMITS)
    assert len(media.frames) == 6


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_a_video_that_is_mostly_noise_is_refused_or_decoded_but_never_more(container: str) -> None:
    data = bytearray(video(container))
    rng = np.random.default_rng(3)
    for position in rng.integers(len(data) // 8, len(data) * 7 // 8, 60):
        data[position] ^= 0x5A
    try:
        media = decode_video(bytes(data), "x", LIMITS)
    except Rejected as error:
        outcome = error.code
    else:
        outcome = "decoded"
        assert len(media.frames) == len(media.times) <= 7
    assert outcome in ("decoded", "corrupt_video", "truncated_video", "no_frames", "not_a_video", "too_long")


def test_limits() -> None:
    assert code(video(), MediaLimits(max_duration_s=2.5)) == "too_long"
    assert code(video("mpegts"), MediaLimits(max_duration_s=2.5)) == "too_long"
    assert code(video(), MediaLimits(max_pixels=64 * 48 - 1)) == "too_many_pixels"


@pytest.mark.parametrize(
    "data",
    [
        b"hello " * 1000,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
    ],
)
def test_what_is_not_a_video(data: bytes) -> None:
    assert code(data) == "not_a_video"


def test_sound_alone_is_not_a_video() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        for packet in (*stream.encode(sound), *stream.encode(None)):
            out.mux(packet)
    assert code(buffer.getvalue()) == "not_a_video"


def test_empty() -> None:
    assert code(b"") == "empty_file"
