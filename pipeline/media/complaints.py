"""What C libraries print to standard error, e.g. libjpeg of a picture that it decodes although it is damaged."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

_MOST = 64 * 1024
_DAMAGE = re.compile(rb"premature end of|Premature end of|bad Huffman code|instead of RST|\b\d{4,} extraneous bytes")
"""Of libjpeg's remarks (jerror.h) those after which pixels are missing. A few bytes too many harm nobody; thousands are
picture data that lost its place."""


class Complaints:
    """Takes over this process's standard error: a file in memory instead. `log`: where it went before."""

    def __init__(self) -> None:
        self.log: TextIO = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        self._file = os.memfd_create("complaints", os.MFD_CLOEXEC)
        os.dup2(self._file, 2)
        sys.stderr = self.log

    def forget(self) -> None:
        """What was said so far is no longer of interest."""
        if os.lseek(self._file, 0, os.SEEK_CUR):
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)

    def tell_of_damage(self) -> bool:
        """Whether anything said since `forget` means that pixels are missing."""
        said = os.lseek(self._file, 0, os.SEEK_CUR)
        return said > 0 and _DAMAGE.search(os.pread(self._file, min(said, _MOST), 0)) is not None
