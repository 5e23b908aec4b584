"""What two texts have in common and where they contradict each other, as numbers for a classifier."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.ngrams import grams, mix, rarity
from materials.text import normalise, numbers

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
    "replaced_runs",
    "length_ratio",
    "shorter_length",
    "cosine_under_conflict",
)
_LONGEST_LENGTH: Final = 60
_DIGITS_OR_POINT: Final = str.maketrans("", "", ".")


class TextProfile(msgspec.Struct, frozen=True):
    """One text, read once for many comparisons.

    `keys`: uint64 (n,), its distinct grams, ascending; `rare`: float32 (n,), their idf; `weights`: float64 (n,), unit
    norm, sublinear tf x idf; `pairs`: uint64 (len(normal) - 1,), the 2-gram at each place; `digits`: by character.
    """

    normal: str
    keys: NDArray[np.uint64]
    rare: NDArray[np.float32]
    weights: NDArray[np.float64]
    pairs: NDArray[np.uint64]
    digits: NDArray[np.bool_]
    numbers: tuple[str, ...]
    names: frozenset[int]

    @classmethod
    def of(cls, text: str) -> TextProfile:
        """Read a raw text."""
        normal = normalise(text)
        found = grams(normal)
        rare = rarity(mix(found.keys))
        weights = (1.0 + np.log(found.counts)) * rare
        points = np.frombuffer(normal.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
        return cls(
            normal=normal,
            keys=found.keys,
            rare=rare,
            weights=weights / max(float(np.linalg.norm(weights)), 1e-12),
            pairs=points[:-1] | (points[1:] << np.uint64(21)),
            digits=(points >= 48) & (points <= 57),
            numbers=tuple(number.translate(_DIGITS_OR_POINT).lstrip("0") or "0" for number in numbers(text)),
            names=frozenset(found.keys[np.isin(found.keys, _name_keys())].tolist()),
        )


def pair_features(one: TextProfile, other: TextProfile) -> NDArray[np.float64]:
    """float64 (13,), in the order of `FEATURES`; the same for (a, b) and (b, a).

    Both texts must have at least one gram (two normalised characters).
    """
    _, at_one, at_other = np.intersect1d(one.keys, other.keys, assume_unique=True, return_indices=True)
    cosine = float(one.weights[at_one] @ other.weights[at_other])
    shared = float(np.square(one.rare[at_one]).sum())
    in_one = shared / float(np.square(one.rare).sum())
    in_other = shared / float(np.square(other.rare).sum())
    only_one, only_other, common = _number_differences(one.numbers, other.numbers)
    conflicts = min(only_one, only_other)
    fewer = max(1, min(len(one.numbers), len(other.numbers)))
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
            min(conflicts / fewer, 1.0),
            min(common, 4),
            min(names, 2),
            min(_replaced_runs(one, other), _replaced_runs(other, one), 4),
            math.log(lengths[0] / lengths[1]),
            min(lengths[0], _LONGEST_LENGTH) / _LONGEST_LENGTH,
            cosine * float(conflicts > 0),
        )
    )


def _number_differences(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[int, int, int]:
    """(numbers only in one, only in the other, in both). Signs that come and go are no difference: 3.8, 38, 3 8."""
    left, right = Counter(one), Counter(other)
    only_left, only_right = left - right, right - left
    common = (left & right).total()
    if only_left and only_right:
        digits = ["".join(n for n in given if n in only) for given, only in ((one, only_left), (other, only_right))]
        if digits[0] == digits[1]:
            return 0, 0, common + 1
    return only_left.total(), only_right.total(), common


def _replaced_runs(one: TextProfile, other: TextProfile) -> int:
    """Runs of two or more characters inside `one`, not digits, that no 2-gram of `other` covers: other words there."""
    if len(one.pairs) < 3:
        return 0
    known = np.isin(one.pairs, other.pairs)
    covered = one.digits.copy()
    covered[:-1] |= known
    covered[1:] |= known
    gaps = np.flatnonzero(np.diff(covered.astype(np.int8)))
    # A gap at either end is an addition or a cut, not a replacement.
    first = 0 if covered[0] else 1
    starts, ends = gaps[first::2], gaps[first + 1 :: 2]
    return int(np.count_nonzero(ends - starts[: len(ends)] >= 2))


@cache
def _name_keys() -> NDArray[np.uint64]:
    """The grams that stand for names: the whole name up to three characters, its first three beyond."""
    names = json.loads(files("vector_index").joinpath("ranking", "data", "text_names.json").read_text("utf-8"))
    known = {name[:3] for name in names["places"] + names["weekdays"]}
    return np.unique(np.concatenate([grams(name).keys[-1:] for name in sorted(known)]))
