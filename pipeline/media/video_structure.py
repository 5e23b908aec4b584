"""The skeletons of video files, walked without decoding: is the end there?"""

from __future__ import annotations


def is_cut_mp4(data: bytes) -> bool:
    """Whether an MP4 ends before its top-level boxes do, or has no index (`moov`); False for other formats.

    ISO/IEC 14496-12, 4.2.
    """
    if data[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return False
    position = 0
    has_index = False
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if size == 1:  # a 64-bit size follows
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        elif size == 0:  # up to the end of the file
            size = len(data) - position
        if size < 8:
            return True
        has_index = has_index or kind == b"moov"
        position += size
    return position > len(data) or not has_index


def share_of_avi(data: bytes) -> float:
    """How much of an AVI's first RIFF chunk is there, 0..1; 1 for other formats and where the size was never written.

    FFmpeg takes the duration of a cut AVI from what is left of it, so that the duration does not show the loss.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"AVI ":
        return 1.0
    size = int.from_bytes(data[4:8], "little")
    return min(1.0, len(data) / (size + 8)) if size else 1.0
