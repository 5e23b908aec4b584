"""Is a mutant still whole? Asked of FFmpeg with every check that it has; the job itself never decodes like this."""

from __future__ import annotations

import io

import av
import av.logging

STRICT = {"err_detect": "crccheck+bitstream+buffer+explode", "xerror": "1"}


def is_whole(data: bytes, kind: str) -> bool:
    """Whether a strict reader decodes it: of a still its picture, of a video nine tenths of what its header states."""
    av.logging.set_level(None)
    try:
        with av.open(io.BytesIO(data), options=STRICT) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = STRICT
            return _still(container, stream) if kind == "image" else _video(container, stream)
    except (av.error.FFmpegError, ValueError, IndexError, MemoryError):
        return False


def _still(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    return next(container.decode(stream), None) is not None


def _video(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    packets = good = 0
    last = 0.0
    for packet in container.demux(stream):
        if packet.size:
            packets += 1
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            try:
                stream.decode(packet)
                good += 1
            except av.error.FFmpegError:
                continue
    stated = float(container.duration or 0) / av.time_base
    return packets > 0 and good >= 0.9 * packets and last >= 0.9 * stated
