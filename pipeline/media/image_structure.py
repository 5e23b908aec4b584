"""The skeletons of image files, walked without decoding: is the end there?"""

from __future__ import annotations

_MAGICS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
)


def is_image_header(data: bytes) -> bool:
    """Whether the file begins like one of the formats that we read."""
    return data.startswith(_MAGICS) or _is_webp(data) or data[4:12] in (b"ftypavif", b"ftypavis")


def is_cut(data: bytes, *, last_resort: bool = False) -> bool:
    """Whether the file ends before its own structure does: JPEG, PNG, WebP; False for the others.

    Args:
        data: the whole file.
        last_resort: decoding has failed already, so that weaker signs count (a GIF without its trailer byte).
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _is_cut_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _is_cut_png(data)
    if _is_webp(data):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return last_resort and data.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(b";")


def _is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _is_cut_jpeg(data: bytes) -> bool:
    """ITU-T T.81 B.1.1: segments up to the first scan, then an end-of-image marker somewhere behind it.

    Entropy-coded data never holds FF D9 (an FF is followed by a stuffed 00), and thumbnails lie in the segments that
    the walk skips; searching from the end finds the marker at once in an intact file.
    """
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            return True
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 2
        elif marker == 0xD9:
            return True  # an end before any scan: what remains of a picture without pixels
        else:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            position += 2 + length
            if marker == 0xDA:
                return data.rfind(b"\xff\xd9", position) < 0


def _is_cut_png(data: bytes) -> bool:
    """W3C PNG, 5.3: length, type, data and CRC, up to the chunk IEND."""
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return False
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True
