"""Where two texts differ, by words: CJK signs one by one, all else by words and numbers."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal

import msgspec

from materials.text import numbers

MOST_TOKENS = 3000
_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*%?|[^\W\d_]*[A-Za-z\u00c0-\u024f\u0370-\u04ff][^\W\d_\u3400-\u9fff]*|\s+|.", re.DOTALL
)
Kind = Literal["equal", "only_first", "only_second"]


class Run(msgspec.Struct, frozen=True):
    """A stretch of text that is in both, or in one only."""

    kind: Kind
    text: str


class TextDifference(msgspec.Struct, frozen=True):
    """`runs`: the two texts woven together. `replaced`: (in the first, in the second) at the same place; `added`:
    (to the first, to the second) where the other has nothing; signs alone count as neither. `numbers`: (only in the
    first, only in the second). `shared`: characters in both, of the longer text's."""

    runs: list[Run]
    replaced: list[tuple[str, str]]
    added: tuple[list[str], list[str]]
    numbers: tuple[list[str], list[str]]
    shared: float


def difference(first: str, second: str) -> TextDifference:
    """Compare two raw texts; of very long ones the beginning."""
    one, other = _TOKEN.findall(first)[:MOST_TOKENS], _TOKEN.findall(second)[:MOST_TOKENS]
    runs: list[Run] = []
    replaced: list[tuple[str, str]] = []
    added: tuple[list[str], list[str]] = ([], [])
    shared = 0
    for what, a0, a1, b0, b1 in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        left, right = "".join(one[a0:a1]), "".join(other[b0:b1])
        if what == "equal":
            runs.append(Run("equal", left))
            shared += len(left)
            continue
        if left:
            runs.append(Run("only_first", left))
        if right:
            runs.append(Run("only_second", right))
        if _says(left) and _says(right):
            replaced.append((left.strip(), right.strip()))
        elif _says(left):
            added[0].append(left.strip())
        elif _says(right):
            added[1].append(right.strip())
    mine, theirs = numbers(first), numbers(second)
    only = ([n for n in mine if n not in theirs], [n for n in theirs if n not in mine])
    longer = max(sum(map(len, one)), sum(map(len, other)))
    return TextDifference(runs, replaced, added, only, shared / longer if longer else 1.0)


def _says(text: str) -> bool:
    return any(sign.isalnum() for sign in text)
