"""Decoding a video's sound track: mono, 16 kHz, the first ten minutes, in step with the frames."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import SOUND_RATE
from pipeline.media.limits import MediaLimits

MOST_SECONDS = 600.0
"""What comes later is not decoded: no plug-in hears more (38 MB)."""
_SILENT = 1e-4
_RATES = (4_000, 768_000)
"""Hertz. Beyond them a header lies, or wants each sample to become thousands."""
_SLACK = SOUND_RATE // 10
"""Samples by which time stamps may be off before silence is put in."""


def decode_sound(data: bytes, formats: dict[str, str], limits: MediaLimits) -> NDArray[np.float32] | None:
    """float32 [m], -1..1; sample i is heard i / 16000 seconds after the first frame is shown.

    Several tracks: the first one. Errors in the stream are stepped over, and what is missing is silent, so that a
    damaged sound track never costs a video its pictures.

    Args:
        data: the file.
        formats: FFmpeg's options, as the frames were opened with.
        limits: `max_duration_s` bounds the track, too.

    Returns:
        None when there is no sound track, none of it can be decoded, or it is silent throughout.
    """
    try:
        container = av.open(io.BytesIO(data), options=formats)
    except (av.error.FFmpegError, ValueError):
        return None
    with container:
        if not container.streams.audio:
            return None
        if not _RATES[0] <= (container.streams.audio[0].rate or 0) <= _RATES[1]:
            return None
        most = int(min(MOST_SECONDS, limits.max_duration_s) * SOUND_RATE)
        sound = _Track(most).fill(container)
    return sound if sound is not None and float(np.abs(sound).max(initial=0.0)) > _SILENT else None


class _Track:
    """Collects resampled pieces at their places."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[NDArray[np.float32]] = []
        self._length = 0

    def fill(self, container: Any) -> NDArray[np.float32] | None:
        """Until the stream ends or enough is there; None when nothing can be decoded."""
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
        origin = _first_frame_at(container)
        for frame in _frames(container, stream):
            at = float(frame.pts * frame.time_base) - origin if frame.pts is not None else None
            try:
                pieces = [each.to_ndarray()[0] for each in resampler.resample(frame)]
            except (av.error.FFmpegError, ValueError):  # the layout changed within the stream
                resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
                continue
            self._put(pieces, at)
            if self._length >= self._most:
                break
        else:
            self._put([each.to_ndarray()[0] for each in resampler.resample(None)] if self._pieces else [], None)
        if not self._pieces:
            return None
        whole = np.concatenate(self._pieces)[: self._most]
        return np.nan_to_num(whole, copy=False, nan=0.0, posinf=0.0, neginf=0.0).clip(-1, 1)

    def _put(self, pieces: list[NDArray[np.float32]], at: float | None) -> None:
        """Append; where the time stamp says that something is missing, silence first; what is too early is cut off."""
        if not pieces:
            return
        samples = np.concatenate(pieces).astype(np.float32, copy=False)
        gap = int(at * SOUND_RATE) - self._length if at is not None else 0
        if gap > _SLACK:
            self._append(np.zeros(min(gap, self._most - self._length), np.float32))
        elif self._length == 0 and gap < 0:
            samples = samples[-gap:]
        self._append(samples)

    def _append(self, samples: NDArray[np.float32]) -> None:
        if samples.size:
            self._pieces.append(samples)
            self._length += samples.size


def _first_frame_at(container: Any) -> float:
    """Seconds, on the container's clock."""
    for stream in (*container.streams.video, *container.streams.audio):
        if stream.start_time is not None and stream.time_base is not None:
            return float(stream.start_time * stream.time_base)
    return 0.0


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            yield from stream.decode(packet)
        except av.error.FFmpegError:
            continue
