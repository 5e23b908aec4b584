"""What two texts have in common and where they contradict each other, as numbers for a classifier."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.ngrams import grams, mix, rarity
from materials.text import read

FEATURES: Final = (
    "cosine",
    "larger_containment",
    "smaller_containment",
    "changed_on_both_sides",
    "conflicting_numbers",
    "any_conflicting_number",
    "conflicting_share",
    "shared_numbers",
    "conflicting_names",
    "conflicting_words",
    "replaced_runs",
    "length_ratio",
    "shorter_length",
    "cosine_under_conflict",
)
_LONGEST_LENGTH: Final = 60
_LEAST_RATIO: Final = -3.0
_MOST_WORDS: Final = 3
_KEPT: Final = 2048
_KEPT_LENGTH: Final = 300
"""Profiles that are kept, of texts of so many characters at most: 5 KB each for a short post, 15 at the limit."""
_DIGIT_RUN: Final = re.compile(r"\d+")


class TextProfile(msgspec.Struct, frozen=True):
    """One text, read once for many comparisons.

    `keys`: uint64 (n,), its distinct grams, ascending; `rare`: float32 (n,), their idf, and `mass` the sum of their
    squares; `weights`: float64 (n,), unit
    norm, sublinear tf x idf; `pairs`: uint64 (len(normal) - 1,), the 2-gram at each place; `digits`: by character.
    `numbers` as the raw text separates them, `digit_runs` as the normal form does; `names`: known names and claims.
    """

    normal: str
    keys: NDArray[np.uint64]
    rare: NDArray[np.float32]
    mass: float
    weights: NDArray[np.float64]
    pairs: NDArray[np.uint64]
    digits: NDArray[np.bool_]
    numbers: tuple[str, ...]
    digit_runs: tuple[str, ...]
    names: frozenset[int]
    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> TextProfile:
        """Read a raw text."""
        reading = read(text)
        normal = reading.normal
        found = grams(normal)
        rare = rarity(mix(found.keys))
        weights = (1.0 + np.log(found.counts)) * rare
        points = np.frombuffer(normal.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
        tokens = _names()
        return cls(
            normal=normal,
            keys=found.keys,
            rare=rare,
            mass=float(np.square(rare).sum()),
            weights=weights / max(math.sqrt(float(weights @ weights)), 1e-12),
            pairs=points[:-1] | (points[1:] << np.uint64(21)),
            digits=(points >= 48) & (points <= 57),
            numbers=tuple(number.replace(".", "").lstrip("0") or "0" for number in reading.numbers),
            digit_runs=tuple(run.lstrip("0") or "0" for run in _DIGIT_RUN.findall(normal)),
            names=frozenset(tokens[key] for key in tokens.keys() & set(found.keys.tolist())),
            words=frozenset(reading.words),
        )


def profile_of(text: str) -> TextProfile:
    """`TextProfile.of`; a short text's is remembered, as who was asked about is soon what others are compared with."""
    return _kept(text) if len(text) <= _KEPT_LENGTH else TextProfile.of(text)


@lru_cache(maxsize=_KEPT)
def _kept(text: str) -> TextProfile:
    return TextProfile.of(text)


def pair_features(one: TextProfile, other: TextProfile) -> NDArray[np.float64]:
    """float64 (14,), in the order of `FEATURES`; the same for (a, b) and (b, a).

    Both texts must have at least one gram (two normalised characters).
    """
    common_to, places = _found(one.keys, other.keys)
    cosine = float(one.weights[common_to] @ other.weights[places[common_to]])
    shared = float(np.square(one.rare[common_to]).sum())
    in_one = shared / one.mass
    in_other = shared / other.mass
    conflicts, common = _conflicting_numbers(one, other)
    names = min(len(one.names - other.names), len(other.names - one.names))
    lengths = sorted((len(one.normal), len(other.normal)))
    return np.array(
        (
            cosine,
            max(in_one, in_other),
            min(in_one, in_other),
            (1.0 - in_one) * (1.0 - in_other),
            min(conflicts, 4),
            float(conflicts > 0),
            conflicts / max(conflicts + common, 1),
            min(common, 4),
            min(names, 2),
            _replaced_words(one, other),
            min(_replaced_runs(one, other), 4),
            max(math.log(lengths[0] / lengths[1]), _LEAST_RATIO),
            min(lengths[0], _LONGEST_LENGTH) / _LONGEST_LENGTH,
            cosine * float(conflicts > 0),
        )
    )


def _found(keys: NDArray[np.uint64], known: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(which keys are among the known, where); `known` ascending and not empty. Ten times as fast as `np.isin`."""
    places = np.minimum(np.searchsorted(known, keys), known.size - 1)
    return known[places] == keys, places


def _conflicting_numbers(one: TextProfile, other: TextProfile) -> tuple[int, int]:
    """(numbers of one that the other contradicts, numbers in both).

    A number that only one text has contradicts nothing: it may have been cut off, or added. Separators come and go
    (3.8, 3 8, 1[heart]36), which the normal form forgives; numbers of topics and remarks run into others there, which
    the raw text keeps apart: a conflict is one that both readings see.
    """
    if not one.digit_runs or not other.digit_runs:  # most pairs
        both = Counter(one.numbers) & Counter(other.numbers) if one.numbers and other.numbers else Counter[str]()
        return 0, both.total()
    readings = []
    for mine, theirs in ((one.numbers, other.numbers), (one.digit_runs, other.digit_runs)):
        left, right = Counter(mine), Counter(theirs)
        readings.append((left - right, right - left, (left & right).total()))
    conflicts = min(min(first.total(), second.total()) for first, second, _ in readings)
    only_one, only_other, _ = readings[1]
    if conflicts and (_cut_through(one, only_one, only_other) or _cut_through(other, only_other, only_one)):
        conflicts -= 1
    return conflicts, max(common for _, _, common in readings)


def _cut_through(text: TextProfile, mine: Counter[str], theirs: Counter[str]) -> bool:
    """Whether the text begins or ends inside one of the other's numbers: what is left of it contradicts nothing."""
    if text.digits[-1] and text.digit_runs[-1] in mine and any(n.startswith(text.digit_runs[-1]) for n in theirs):
        return True
    return bool(text.digits[0]) and text.digit_runs[0] in mine and any(n.endswith(text.digit_runs[0]) for n in theirs)


def _replaced_words(one: TextProfile, other: TextProfile) -> int:
    """Alphabetic words on both sides that the other text lacks altogether, up to `_MOST_WORDS`; typing errors of each
    other do not count."""
    mine = [word for word in one.words - other.words if word not in other.normal]
    theirs = [word for word in other.words - one.words if word not in one.normal] if mine else []
    return min(_unlike(mine, theirs), _unlike(theirs, mine)) if theirs else 0


def _unlike(words: list[str], others: list[str]) -> int:
    known = {word[i : i + 2] for word in others for i in range(len(word) - 1)}
    found = (1 for word in words if 2 * sum(word[i : i + 2] in known for i in range(len(word) - 1)) < len(word) - 1)
    return sum(islice(found, _MOST_WORDS))


def _replaced_runs(one: TextProfile, other: TextProfile) -> int:
    """Places on both sides with other words in them: runs inside a text that the other one has nothing of.

    A run has two or more characters that no 2-gram of the other text covers, digits aside. Those at either end were
    added or cut; those made of the other's uncovered characters were swapped.
    """
    mine = _uncovered(one, other)
    theirs = _uncovered(other, one) if mine else []
    return min(_strange(mine, "".join(theirs)), _strange(theirs, "".join(mine)))


def _strange(runs: list[str], others: str) -> int:
    return sum(len(run) >= 2 and 2 * sum(sign in others for sign in run) < len(run) for run in runs)


def _uncovered(one: TextProfile, other: TextProfile) -> list[str]:
    """Runs inside `one.normal`, not digits, that no 2-gram of `other` covers."""
    if len(one.pairs) < 3:
        return []
    known, _ = _found(one.pairs, other.keys)
    covered = one.digits.copy()
    covered[:-1] |= known
    covered[1:] |= known
    edges = np.flatnonzero(covered[1:] != covered[:-1]) + 1
    inner = (edges if covered[0] else edges[1:]).tolist()
    return [one.normal[start:end] for start, end in zip(inner[::2], inner[1::2], strict=False)]


@cache
def _names() -> dict[int, int]:
    """What known grams stand for.

    A name is known by itself up to three characters, by its first three beyond. Words of one claim stand for one thing.
    """
    stored = json.loads(files("vector_index").joinpath("ranking", "data", "text_names.json").read_text("utf-8"))
    claims = [[name] for name in stored["places"] + stored["weekdays"]] + stored["opposites"]
    return {int(grams(name[:3]).keys[-1]): token for token, claim in enumerate(claims) for name in claim}
