"""Files that call themselves pictures: bombs, lies in headers, polyglots, other formats, and broken skeletons."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def files() -> dict[str, bytes]:
    """Name -> content; none of them is a whole picture."""
    return dict([*_pngs(), *_jpegs(), *_gifs(), *_webps(), *_bitmaps(), *_tiffs(), *_newer(), *_others()])


def _noise(width: int, height: int, seed: int = 1) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes, length: int | None = None, crc: int | None = None) -> bytes:
    """A PNG chunk, honest unless told otherwise."""
    right = zlib.crc32(kind + body)
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", crc or right)


def _header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def _pngs() -> Iterator[tuple[str, bytes]]:
    end, rows = chunk(b"IEND", b""), zlib.compress(bytes(1 << 16))
    good = _saved(_noise(200, 150), "PNG")
    yield "png-200000-square", PNG + _header(200_000, 200_000) + chunk(b"IDAT", rows) + end
    yield "png-2-to-31-wide", PNG + _header(2**31 - 1, 1) + chunk(b"IDAT", rows) + end
    yield "png-no-width", PNG + _header(0, 10) + chunk(b"IDAT", rows) + end
    yield "png-odd-depth", PNG + _header(8, 8, depth=7) + chunk(b"IDAT", rows) + end
    yield "png-odd-colour", PNG + _header(8, 8, colour=5) + chunk(b"IDAT", rows) + end
    yield "png-header-crc", good[:29] + b"\0\0\0\0" + good[33:]
    yield "png-data-noise", good[:3000] + np.random.default_rng(2).bytes(3000) + good[6000:]
    yield "png-no-data", PNG + _header(64, 64) + end
    yield "png-too-few-rows", PNG + _header(8000, 8000) + chunk(b"IDAT", rows) + end
    yield "png-stored-garbage", PNG + _header(64, 64) + chunk(b"IDAT", b"not deflated at all") + end
    yield "png-chunk-of-2-gigabytes", PNG + _header(64, 64) + chunk(b"IDAT", rows, length=2**31 - 1) + end
    yield "png-chunk-of-4-gigabytes", PNG + _header(64, 64) + chunk(b"tEXt", b"x", length=2**32 - 1) + end
    yield "png-no-end", good[:-12]
    yield "png-only-signature", PNG
    # the last row is missing: the other 63 million pixels have to be inflated before that shows
    yield "png-64-megapixels-cut", PNG + _header(8000, 8000, colour=6) + chunk(b"IDAT", _zeros(7999 * 32_001)) + end
    yield "png-16-bit-cut", PNG + _header(8000, 7999, depth=16, colour=6) + chunk(b"IDAT", _zeros(4000 * 64_001)) + end
    yield "png-interlaced-lie", good[:28] + b"\1" + struct.pack(">I", zlib.crc32(good[12:28] + b"\1")) + good[33:]
    yield "png-html", PNG + b"<html><script>alert(1)</script></html>"


def _zeros(count: int) -> bytes:
    """`count` zero bytes, deflated two hundred to one."""
    packer = zlib.compressobj(1)
    block = bytes(1 << 20)
    whole = b"".join(packer.compress(block[: min(1 << 20, count - at)]) for at in range(0, count, 1 << 20))
    return whole + packer.flush()


def _jpegs() -> Iterator[tuple[str, bytes]]:
    good = _saved(_noise(320, 240), "JPEG", quality=85)
    frame = good.index(b"\xff\xc0")
    scan = good.index(b"\xff\xda")
    size = frame + 5
    yield "jpeg-65535-square", good[:size] + b"\xff\xff\xff\xff" + good[size + 4 :]
    yield "jpeg-no-height", good[:size] + b"\0\0" + good[size + 2 :]
    yield "jpeg-no-width", good[: size + 2] + b"\0\0" + good[size + 4 :]
    yield "jpeg-nine-components", good[: size + 4] + b"\x09" + good[size + 5 :]
    yield "jpeg-no-end", good[:-2]
    yield "jpeg-no-scan", good[:scan] + b"\xff\xd9"
    yield "jpeg-no-tables", good[:2] + good[frame:]
    yield "jpeg-start-end", b"\xff\xd8\xff\xd9"
    yield "jpeg-start", b"\xff\xd8\xff"
    yield "jpeg-segment-without-end", b"\xff\xd8\xff\xe1\xff\xff" + b"Exif" * 10
    yield "jpeg-segment-of-length-0", b"\xff\xd8" + b"\xff\xe0\0\0" * 1000 + b"\xff\xd9"
    yield "jpeg-fill-bytes", b"\xff\xd8" + b"\xff" * 1_000_000
    yield "jpeg-noise-in-scan", good[: scan + 14] + np.random.default_rng(4).bytes(30_000) + b"\xff\xd9"
    yield "jpeg-php", b"\xff\xd8\xff\xe0<?php system($_GET['c']); ?>\xff\xd9"
    yield "jpeg-other-codec", good.replace(b"\xff\xc0", b"\xff\xc3", 1)
    progressive = _saved(_noise(3000, 2000), "JPEG", quality=40, progressive=True)
    last = progressive.rindex(b"\xff\xda")
    yield "jpeg-20000-scans", progressive[:-2] + progressive[last : last + 12] * 20_000 + b"\xff\xd9"
    yield "jpeg-huffman-overflow", good.replace(b"\xff\xc4", b"\xff\xc4\0\x15\0" + b"\xff" * 16, 1)


def _gifs() -> Iterator[tuple[str, bytes]]:
    screen = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
    yield "gif-65535-square", screen + frame + b"\x08\x01\x00\x00;"
    yield "gif-small-screen-large-frame", b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + frame + b"\x08\x01\0\0;"
    yield "gif-no-frame", b"GIF89a\x10\0\x10\0\0\0\0;"
    yield "gif-comment-for-ever", b"GIF89a\x10\0\x10\0\0\0\0!\xfe" + (b"\xff" + b"x" * 255) * 2000
    yield "gif-odd-code-size", b"GIF89a\x10\0\x10\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 16, 16, 0) + b"\x1f\x01\0\0;"
    yield "gif-html", b"GIF89a/*<html>*/=1;alert(1)//"
    yield "gif-50000-empty-frames", b"GIF89a\x10\0\x10\0\0\0\0" + b"!\xf9\x04\0\0\0\0\0" * 50_000 + b";"


def _webps() -> Iterator[tuple[str, bytes]]:
    good = _saved(_noise(200, 150), "WEBP")

    def riff(body: bytes, length: int | None = None) -> bytes:
        return b"RIFF" + struct.pack("<I", len(body) + 4 if length is None else length) + b"WEBP" + body

    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0x02) + b"\xfe\x3f\x00\xfe\x3f\x00"
    yield "webp-16383-square", riff(canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0))
    yield "webp-canvas-of-2-to-48", riff(canvas[:12] + b"\xff" * 6)
    yield "webp-length-lies", good[:4] + b"\xff\xff\xff\x7f" + good[8:]
    yield "webp-cut", good[: len(good) // 2]
    yield "webp-lossless-garbage", riff(b"VP8L" + struct.pack("<I", 200) + b"\x2f" + b"\xff" * 199)
    yield "webp-no-chunk", riff(b"")


def _bitmaps() -> Iterator[tuple[str, bytes]]:
    def bmp(width: int, height: int, bits: int = 24, packing: int = 0, body: bytes = b"") -> bytes:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + info + body

    yield "bmp-2-to-31-square", bmp(2**31 - 1, 2**31 - 1)
    yield "bmp-negative-width", bmp(-100, 100)
    yield "bmp-without-pixels", bmp(4000, 4000)
    yield "bmp-odd-depth", bmp(10, 10, bits=3, body=bytes(400))
    yield "bmp-odd-packing", bmp(10, 10, packing=77, body=bytes(400))
    yield "bmp-runs-that-end", bmp(6000, 6000, bits=8, packing=1, body=b"\0\1")
    yield "ppm-huge", b"P6 999999 999999 255\n" + bytes(1000)
    yield "ppm-negative", b"P6 -5 -5 255\n" + bytes(1000)
    yield "ppm-digits-for-ever", b"P3 " + b"9" * 100_000
    yield "ppm-cut", b"P6 4000 4000 255\n" + bytes(1000)
    yield "pbm-letters", b"P1 8 8\nabc"


def _tiffs() -> Iterator[tuple[str, bytes]]:
    good = _saved(_noise(100, 80), "TIFF", compression="tiff_lzw")

    def tiff(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
        rows = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + struct.pack("<I", following)

    size = ((256, 4, 1, 2**31), (257, 4, 1, 2**31))
    yield "tiff-2-to-62-pixels", tiff(*size, (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
    yield "tiff-directory-loop", tiff((256, 4, 1, 10), (257, 4, 1, 10), following=8)
    yield "tiff-tag-of-4-gigabytes", tiff((256, 4, 1, 10), (257, 4, 1, 10), (270, 2, 2**32 - 1, 8))
    yield "tiff-strip-beyond-end", tiff(
        (256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 2**31),
        (277, 3, 1, 1), (278, 4, 1, 100), (279, 4, 1, 2**31),
    )  # fmt: skip
    yield "tiff-huge-tiles", tiff(
        (256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1), (322, 4, 1, 2**30),
        (323, 4, 1, 2**30), (324, 4, 1, 8), (325, 4, 1, 100),
    )  # fmt: skip
    yield "tiff-no-directory", b"II*\0\xff\xff\xff\x7f"
    yield "tiff-cut", good[: len(good) // 2]
    yield "tiff-zero-tags", tiff()


def _newer() -> Iterator[tuple[str, bytes]]:
    avif, jp2 = _saved(_noise(96, 64), "AVIF"), _saved(_noise(96, 64), "JPEG2000")
    at = avif.index(b"ispe") + 8
    yield "avif-huge", avif[:at] + struct.pack(">II", 60_000, 60_000) + avif[at + 8 :]
    yield "avif-cut", avif[: len(avif) * 2 // 3]
    yield "avif-only-type", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"
    yield "avif-box-of-4-gigabytes", avif[:32] + b"\xff\xff\xff\xff" + avif[36:]
    size = jp2.index(b"\xff\x51") + 6
    yield "jp2-huge", jp2[:size] + struct.pack(">II", 2**31, 2**31) + jp2[size + 8 :]
    yield "jp2-cut", jp2[: len(jp2) // 3]
    yield "jp2-tiny-tiles", jp2[: size + 16] + struct.pack(">II", 1, 1) + jp2[size + 24 :]
    yield "jp2-16384-components", jp2[: size + 32] + b"\x40\x00" + jp2[size + 34 :]


def _others() -> Iterator[tuple[str, bytes]]:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    yield "svg-billion-laughs", f'<!DOCTYPE s [<!ENTITY e0 "x">{entities}]><svg>&e9;</svg>'.encode()
    yield "svg-file", b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><text>&x;</text></svg>'
    yield "svg-http", b'<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="http://127.0.0.1:1/"/></svg>'
    yield "svgz", gzip.compress(b"<svg/>" * 1000, mtime=0)
    yield "gzip-bomb", gzip.compress(bytes(50_000_000), mtime=0)
    yield "ico", _saved(_noise(32, 32), "ICO")
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    yield "ghostscript-in-jpeg-name", b"%!PS\n%pipe%true\n"
    yield "pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript>>>>endobj\n"
    yield "mvg", b"push graphic-context\nfill 'url(http://127.0.0.1:1/x.jpg)'\npop graphic-context\n"
    yield "zip", b"PK\x03\x04" + bytes(100)
    yield "elf", b"\x7fELF\x02\x01\x01" + bytes(100)
    yield "html", b"<!doctype html><title>404</title>"
    yield "words", b"this is not a picture at all\n"
    yield "one-byte", b"\xff"
    yield "zeros", bytes(100_000)
    yield "heic-name", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(64)
    yield "psd", b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3)
    yield "fits", b"SIMPLE  =                    T" + b" " * 2850
