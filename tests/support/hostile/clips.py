"""Files that call themselves videos: playlists, lies in headers, bombs behind a small beginning, broken skeletons."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np


def files(trap: str, side: int = 9600) -> dict[str, bytes]:
    """Name -> content; none is a whole video.

    Args:
        trap: `host:port` that must never be called.
        side: pixels of a frame that is too large.
    """
    return dict([*_playlists(trap), *_lies(), *_bombs(side), *_skeletons(), *_others()])


def clip(
    container: str = "mp4",
    size: tuple[int, int] = (96, 64),
    frames: int = 24,
    codec: str = "libx264",
    times: tuple[float, ...] = (),
) -> bytes:
    """A small sound video of noise; `times`: seconds of each frame, else twelve a second."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(3)
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=12)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "x264-params": "threads=1:bframes=0"}
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1200)
        for at in times or [index / 12 for index in range(frames)]:
            noise = rng.integers(0, 256, (size[1] // 16, size[0] // 16, 3), np.uint8)
            picture = np.ascontiguousarray(noise.repeat(16, 0).repeat(16, 1))
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(at * 1200), Fraction(1, 1200)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _playlists(trap: str) -> Iterator[tuple[str, bytes]]:
    yield "hls", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{trap}/a.ts\n#EXT-X-ENDLIST\n".encode()
    yield "hls-file", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    yield "hls-concat", b"#EXTM3U\n#EXTINF:9,\nconcat:http://" + trap.encode() + b"/|file:///etc/passwd\n"
    yield "concat", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield "concat-http", f"ffconcat version 1.0\nfile http://{trap}/x.mp4\n".encode()
    yield "dash", f'<?xml version="1.0"?><MPD><BaseURL>http://{trap}/</BaseURL></MPD>'.encode()
    yield "sdp", b"v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    yield "pls", f"[playlist]\nFile1=http://{trap}/\n".encode()
    yield "asx", f'<ASX><ENTRY><REF HREF="http://{trap}/"/></ENTRY></ASX>'.encode()
    reference = b"rmra" + struct.pack(">I", 60) + b"rmda" + struct.pack(">I", 52) + b"rdrf" + bytes(4) + b"url "
    yield "mov-reference", b"\0\0\0\x08wide" + _box(b"moov", reference + f"http://{trap}/x.mov\0".encode())


def _box(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def _changed(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """The file with the bytes at `offset` behind a box's name replaced."""
    at = data.index(box) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def _lies() -> Iterator[tuple[str, bytes]]:
    good = clip()
    yield "mp4-three-hours", clip(times=(0.0, 5400.0, 10_800.0))
    yield "matroska-three-hours", clip("matroska", times=(0.0, 5400.0, 10_800.0))
    yield "mp4-four-billion-samples", _changed(good, b"stsz", 4, b"\0\0\0\1\xff\xff\xff\xff")
    yield "mp4-samples-beyond-end", _changed(good, b"stco", 8, b"\x7f\xff\xff\xff")
    yield "mp4-chunk-table-of-four-billion", _changed(good, b"stsc", 4, b"\xff\xff\xff\xff")
    yield "mp4-no-entry", _changed(good, b"stsd", 4, b"\0\0\0\0")
    yield "mp4-unknown-codec", good.replace(b"avc1", b"zzzz")
    yield "mp4-parameters-gone", _changed(good, b"avcC", 0, bytes(24))
    yield "mp4-samples-noise", _noisy(good)


def _noisy(data: bytes) -> bytes:
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4 if data.index(b"moov") > start else len(data)
    return data[:start] + np.random.default_rng(5).bytes(stop - start) + data[stop:]


def _bombs(side: int) -> Iterator[tuple[str, bytes]]:
    large = clip("h264", (side, side), frames=1)
    yield "h264-too-large", large
    yield "h264-small-then-large", clip("h264", frames=6) + large


def _skeletons() -> Iterator[tuple[str, bytes]]:
    good, web, program = clip(), clip("matroska"), clip("mpegts")
    yield "mp4-no-index", good[: good.index(b"moov") - 4]
    yield "mp4-cut", good[: len(good) // 2]
    yield "mp4-only-type", good[:32]
    yield "mp4-empty-index", _box(b"ftyp", b"isom\0\0\2\0isom") + _box(b"moov", b"")
    yield "mp4-corrupt-index", good[: good.index(b"moov") + 4] + np.random.default_rng(6).bytes(800)
    yield (
        "mp4-nested-boxes",
        _box(b"ftyp", b"isom\0\0\2\0isom")
        + b"".join(_box(b"moov", b"", size=8 * (20_000 - depth)) for depth in range(20_000)),
    )
    yield "mp4-box-of-2-to-63", _box(b"ftyp", b"isom\0\0\2\0isom") + b"\0\0\0\1moov\x7f" + b"\xff" * 7
    yield "matroska-cut", web[: len(web) // 3]
    yield "matroska-header-only", web[:40]
    yield "matroska-element-of-2-to-56", web[:40] + b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xfe"
    yield "matroska-nested", b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" * 5000
    yield "mpegts-sync-only", (b"\x47" + bytes(187)) * 2000
    yield "mpegts-noise", program[:188] + np.random.default_rng(7).bytes(200_000)
    yield "flv-header", b"FLV\x01\x05\0\0\0\x09" + b"\0\0\0\0" * 100
    yield "ogg-noise", b"OggS\0\2" + np.random.default_rng(8).bytes(50_000)
    yield "avi-header", b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl"
    yield "asf-header", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 200
    yield "mpeg-start-codes", b"\0\0\1\xb3" * 50_000


def _others() -> Iterator[tuple[str, bytes]]:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16_000))
    yield "wave", buffer.getvalue()
    yield "html", b"<html>404</html>"
    yield "zeros", bytes(1_000_000)
    yield "swf", b"CWS\x0f" + bytes(100)
    yield "subtitles", b"1\n00:00:00,000 --> 99:59:59,999\nx\n\n" * 1000
