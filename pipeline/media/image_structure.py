"""The skeletons of image files, walked without decoding: is the end there?"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

MAX_SCANS = 200
"""Of a JPEG. Progressive ones have about ten; each scan may cost a pass over all pixels for a dozen bytes of file."""
_MAX_FILL = 4096
"""Fill bytes before a marker: encoders write none or a few, and Pillow reads them one by one."""
_NOT_FILL = re.compile(rb"[^\xff]")
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # neither stuffed byte, nor fill, nor restart
_SCAN, _END = 0xDA, 0xD9
# what may stand between two scans (T.81, B.2.1): tables, comments, application data, line count
_BETWEEN_SCANS = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_JPEG2000 = (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")
_MAGICS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    *_JPEG2000,
)


def is_image_header(data: bytes) -> bool:
    """Whether the file begins like one of the formats that we read."""
    return data.startswith(_MAGICS) or _is_webp(data) or data[4:12] in (b"ftypavif", b"ftypavis")


def is_cut(data: bytes, *, last_resort: bool = False) -> bool:
    """Whether the file ends before its own structure does: JPEG, PNG, WebP, JPEG 2000; False for the others.

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
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096) if data.startswith(_JPEG2000) else -1
    if start >= 0:
        return _lacks_tiles(data, start)
    return last_resort and data.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(b";")


def _is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _is_cut_jpeg(data: bytes) -> bool:
    """Segments up to the first scan, then an end-of-image marker somewhere behind it.

    Entropy-coded data never holds FF D9 (an FF is followed by a stuffed 00), and thumbnails lie in the segments that
    the walk skips; searching from the end finds the marker at once in an intact file.
    """
    scan = _first_scan(data)
    return scan < 0 or data.rfind(b"\xff\xd9", scan + 2) < 0


def _first_scan(data: bytes) -> int:
    """Where the marker of the first scan stands (ITU-T T.81, B.1.1); -1 where the segments do not lead to one."""
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            return -1
        marker = data[position + 1]
        if marker == 0xFF:
            last = _NOT_FILL.search(data, position, position + _MAX_FILL)
            if last is None:
                return -1
            position = last.start() - 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 2
        elif marker == _END:
            return -1  # an end before any scan: what remains of a picture without pixels
        elif marker == _SCAN:
            return position
        else:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            if length < 2:  # it counts itself
                return -1
            position += 2 + length


def scans_of_jpeg(data: bytes) -> int:
    """How many scans a JPEG has, up to the end of its picture; -1 where something else stands in the middle of one.

    A decoder steps over what does not belong there, and fills the rest with grey or colours.
    """
    position = _first_scan(data)
    scans = 0
    while position >= 0:
        marker = data[position + 1]
        if marker == _END:
            return scans
        if marker == _SCAN:
            scans += 1
        elif marker not in _BETWEEN_SCANS:
            return -1
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        found = _MARKER_IN_SCAN.search(data, position)
        position = found.start() if found is not None else -1
    return -1


def lacks_rows(data: bytes, width: int, height: int) -> bool:
    """Whether a PNG's deflated stream ends before its last row does; inflates all of it.

    Pillow leaves rows that never came black. W3C PNG, 7.2 (filter byte), 8.1 (Adam7).
    """
    depth, colour, _, _, interlaced = data[24:29]
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for x, y, dx, dy in passes:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            expected += rows * (1 + -(-columns * bits // 8))
    inflater = zlib.decompressobj()
    found = 0
    for piece in _png_data(data):
        left = piece
        while left and found < expected:
            found += len(inflater.decompress(left, 1 << 20))
            left = inflater.unconsumed_tail
    return found + len(inflater.flush()) < expected


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _png_data(data: bytes) -> Iterator[bytes]:
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT":
            yield data[position + 8 : position + 8 + length]
        position += 12 + length


def _lacks_tiles(data: bytes, start: int) -> bool:
    """ISO/IEC 15444-1, A.4.2 and A.5.1: fewer tile parts than tiles. FF 90 stands nowhere else in a code stream."""
    values = [int.from_bytes(data[at : at + 4], "big") for at in range(start + 8, start + 40, 4)]
    width, height, _, _, tile_width, tile_height, tile_x, tile_y = values
    if not tile_width or not tile_height:
        return True
    tiles = -(-(width - tile_x) // tile_width) * -(-(height - tile_y) // tile_height)
    return data.count(b"\xff\x90\x00\x0a", start) < tiles


def _is_cut_png(data: bytes) -> bool:
    """W3C PNG, 5.3: length, type, data and CRC, up to the chunk IEND."""
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return False
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True
