"""Decoding videos: two upright, downscaled frames a second, with their times.

Frames are decoded in sequence on one thread and only those that are kept are converted. A long video is sampled more
thinly; where decoding all of it would take too long, frames that no other frame needs are skipped, and then all but
the key frames. That choice follows from the header alone, so that the same file always gives the same frames.

What is left of a damaged file: decoding errors are stepped over. The video stands if at least 90 % of the duration
that its container states is there and at least 90 % of its packets decode; otherwise it is rejected.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import av.logging
import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Rejected
from model_plugins.protocol import VideoMedia
from pipeline.media.limits import MediaLimits
from pipeline.media.shown import shown
from pipeline.media.sound import decode_sound
from pipeline.media.video_structure import is_cut_mp4, share_of_avi

FRAMES_PER_SECOND = 2.0
LONGER_SIDE = 360
COVERAGE = 0.9
"""Share of duration, and of packets, that must be there."""

# Self-contained files only: playlists (hls, concat, dash) would make FFmpeg open other files and hosts.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,ivf,h264,hevc,mpegvideo,m4v"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": ""}
# Pixels that one core decodes in about ten seconds (H.264, 0.35 gigapixels a second).
_FULL_WORK = 4e9
_TICK = 1e-6


class _Plan(msgspec.Struct, frozen=True):
    """`interval`: seconds between samples; `width`, `height`: of a converted frame before it is turned."""

    interval: float
    skip: str
    width: int
    height: int


def decode_video(data: bytes, uri: str, limits: MediaLimits, hears: bool = False) -> VideoMedia:
    """Frames at times 0, 0.5, 1.0, …: of each half second the first frame that is shown in it.

    Times are seconds from the first frame. `width` and `height` are those of the upright picture as it is shown
    (rotation and pixel aspect applied); the frames' longer side is at most 360 pixels. `hears`: with the sound track.

    Raises:
        Rejected: `empty_file`, `not_a_video`, `truncated_video`, `corrupt_video`, `no_frames`, `too_long`,
            `too_many_pixels`, `unknown_codec`.
    """
    if not data:
        raise Rejected("empty_file", f"{shown(uri)} has no content (0 bytes); upload it again")
    av.logging.set_level(None)
    container = _open(data, uri)
    try:
        media = _decode(container, data, uri, limits)
    except (Rejected, MemoryError):
        raise
    except Exception as error:  # a header may say anything: no time base, no size, times beyond all numbers
        raise Rejected("corrupt_video", f"{shown(uri)} is damaged and cannot be decoded; upload it again") from error
    finally:
        container.close()
    return msgspec.structs.replace(media, sound=decode_sound(data, _OPTIONS, limits)) if hears else media


def _open(data: bytes, uri: str) -> Any:
    try:
        return av.open(io.BytesIO(data), options=_OPTIONS)
    except (av.error.FFmpegError, ValueError) as error:
        if is_cut_mp4(data):
            raise _truncated(uri) from error
        raise Rejected(
            "not_a_video", f"{shown(uri)} is not a video that can be read; give MP4, WebM, Matroska, AVI or MPEG-TS"
        ) from error


def _truncated(uri: str) -> Rejected:
    return Rejected("truncated_video", f"{shown(uri)} ends before the video does; upload the whole file")


def _decode(container: Any, data: bytes, uri: str, limits: MediaLimits) -> VideoMedia:
    if not container.streams.video:
        raise Rejected("not_a_video", f"{shown(uri)} has no video stream; give a file with pictures")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise Rejected("unknown_codec", f"{shown(uri)} has a codec that cannot be decoded; give H.264, VP9 or AV1")
    stated = container.duration / av.time_base if container.duration and container.duration > 0 else 0.0
    _check_duration(stated, uri, limits)
    aspect = stream.sample_aspect_ratio
    width = max(1, round(stream.width * float(aspect))) if aspect else stream.width
    height = stream.height
    _check_pixels(stream.width, stream.height, uri, limits)
    plan = _plan(stated, float(stream.average_rate or 25), width, height, limits)
    stream.codec_context.thread_count = 1
    # the decoder asks before it makes room: a stream may change its size at every key frame
    stream.codec_context.options = {"max_pixels": str(min(limits.max_pixels, 2**31 - 1))}
    stream.codec_context.skip_frame = plan.skip
    sampler = _Sampler(plan, limits)
    reader = _Reader(container, stream)
    for frame, at in reader.frames():
        _check_duration(at, uri, limits)
        _check_pixels(frame.width, frame.height, uri, limits)
        sampler.take(frame, at)
    _check_remains(reader, sampler, stated, data, uri)
    frames, times = sampler.result()
    quarter = sampler.rotation // 90 % 4
    if quarter:
        frames = np.ascontiguousarray(np.rot90(frames, quarter, axes=(1, 2)))
    if quarter % 2:
        width, height = height, width
    return VideoMedia(frames, times, max(stated, reader.end), width, height)


def _check_duration(seconds: float, uri: str, limits: MediaLimits) -> None:
    if seconds > limits.max_duration_s:
        raise Rejected(
            "too_long",
            f"{shown(uri)} lasts longer than the limit of {limits.max_duration_s:g} s; cut it, or raise "
            "limits.max_duration_s",
        )


def _check_pixels(width: int, height: int, uri: str, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels:
        raise Rejected(
            "too_many_pixels",
            f"{shown(uri)} has frames of {width} x {height} pixels, more than the limit of {limits.max_pixels}; "
            "scale it down",
        )


def _check_remains(reader: _Reader, sampler: _Sampler, stated: float, data: bytes, uri: str) -> None:
    there = reader.packet_end / stated if stated > 0 else 1.0
    if min(there, share_of_avi(data)) < COVERAGE:
        raise _truncated(uri)
    if reader.packets and reader.errors > (1 - COVERAGE) * reader.packets:
        raise Rejected("corrupt_video", f"{shown(uri)} is damaged: most of it cannot be decoded; upload an intact file")
    if not sampler.count:
        raise Rejected("no_frames", f"{shown(uri)} has a video stream without a single picture; upload it again")


def _plan(stated: float, rate: float, width: int, height: int, limits: MediaLimits) -> _Plan:
    interval = max(1 / FRAMES_PER_SECOND, stated / limits.max_frames)
    work = stated * rate * width * height
    skip = "DEFAULT" if work <= _FULL_WORK else "NONREF" if work <= 2 * _FULL_WORK else "NONKEY"
    scale = min(1.0, LONGER_SIDE / max(width, height))
    return _Plan(interval, skip, max(1, round(width * scale)), max(1, round(height * scale)))


class _Reader:
    """Decodes one stream; counts what could not be decoded.

    `end`: seconds at which the last frame ends; `packet_end`: the same of the last packet of any stream.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream
        self.packets = 0
        self.errors = 0
        self.end = 0.0
        self.packet_end = 0.0

    def frames(self) -> Iterator[tuple[Any, float]]:
        """Frames in the order of showing, with seconds since the first."""
        first: float | None = None
        step = 1 / float(self._stream.average_rate or 25)
        last = -step
        for packet in self._packets():
            for frame in self._decoded(packet):
                # streams without time stamps (raw H.264) run at their stated rate
                stamp = float(frame.pts * frame.time_base) if frame.pts is not None else last + step + (first or 0.0)
                first = stamp if first is None else first
                last = stamp - first
                self.end = max(self.end, last + step)
                yield frame, last

    def _packets(self) -> Iterator[Any]:
        """The stream's packets, then an empty one, upon which the decoder gives what it holds back."""
        start = (self._container.start_time or 0) / av.time_base
        packets = self._container.demux()
        try:
            for packet in packets:
                if packet.pts is not None and packet.time_base is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base) - start
                    self.packet_end = max(self.packet_end, end)
                if packet.stream.index == self._stream.index:
                    yield packet
        except av.error.FFmpegError:
            yield av.Packet()  # the file breaks off here; how much is missing is judged from `packet_end`

    def _decoded(self, packet: Any) -> list[Any]:
        self.packets += packet.size > 0
        try:
            frames = list(self._stream.decode(packet))
        except av.error.FFmpegError:
            self.errors += 1
            return []
        self.errors += sum(bool(frame.is_corrupt) for frame in frames)
        return frames


class _Sampler:
    """Keeps the first good frame of each interval; when full, drops every other one and doubles the interval."""

    def __init__(self, plan: _Plan, limits: MediaLimits) -> None:
        self._plan = plan
        self._limit = max(2, limits.max_frames)
        self._interval = plan.interval
        self._next = 0
        self._frames: list[NDArray[np.uint8]] = []
        self._times: list[float] = []
        self._reformatter = av.video.reformatter.VideoReformatter()
        self.rotation = 0

    @property
    def count(self) -> int:
        """Frames kept so far."""
        return len(self._frames)

    def take(self, frame: Any, at: float) -> None:
        """Keep the frame, shown at `at` seconds, if its interval has none yet."""
        slot = int((at + _TICK) / self._interval)
        if slot < self._next or (frame.is_corrupt and self._frames):
            return
        if len(self._frames) >= self._limit:
            self._thin_out()
            slot = int((at + _TICK) / self._interval)
            if slot < self._next:
                return
        if not self._frames:
            self.rotation = frame.rotation
        small = self._reformatter.reformat(frame, self._plan.width, self._plan.height, "rgb24", interpolation="AREA")
        self._frames.append(small.to_ndarray())
        self._times.append(at)
        self._next = slot + 1

    def _thin_out(self) -> None:
        """The header understated the duration, or stated none."""
        self._interval *= 2
        kept: list[int] = []
        filled = -1
        for index, at in enumerate(self._times):
            slot = int((at + _TICK) / self._interval)
            if slot > filled:
                kept.append(index)
                filled = slot
        self._frames = [self._frames[index] for index in kept]
        self._times = [self._times[index] for index in kept]
        self._next = filled + 1

    def result(self) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """uint8 [n, h, w, 3] and float64 [n]; at least one frame was taken."""
        return np.stack(self._frames), np.asarray(self._times, dtype=np.float64)
