"""How tests encode H.264: the same bytes for the same pictures, always."""

from __future__ import annotations

X264 = {
    "preset": "veryfast",
    "threads": "1",
    "flags": "+bitexact",
    "x264-params": "rc-lookahead=0:mbtree=0:weightp=0",
}
"""x264's lookahead reads beyond the picture, so that one input gives several outputs, as the heap happens to be."""
