"""The field of a video, fused late (Snoek et al. 2005) from what its frames, its speech and its text say.

Each side first gives probabilities of the fields of its own: the frames through a linear model over groups of
ImageNet's classes, speech and text through `topics`. They meet as a weighted sum of log probabilities with learned
weights; a side that is absent, or silent, counts as saying nothing (all fields alike).
Fitted by `benchmarks/fit/video_fields.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_plugins.features import topics

Numbers = NDArray[np.float64]

SIDES: Final = ("frames", "speech", "text")


def _places(numbers: str) -> tuple[int, ...]:
    return tuple(map(int, numbers.split()))


GROUPS: Final[Mapping[str, tuple[int, ...]]] = {
    "animals": tuple(range(398)),
    "vehicles": _places(
        "404 407 436 444 468 479 511 555 569 573 575 581 609 627 654 656 661 665 670 671 675 705 717 734 "
        "751 757 779 802 803 817 829 847 864 866 867 870 874 880"
    ),
    "sport": _places("416 422 429 430 433 445 522 543 560 574 602 702 722 746 747 752 768 795 805 842 852 890 981 983"),
    "technology": _places(
        "438 487 508 527 530 590 592 605 617 620 657 662 664 673 681 688 713 742 744 755 769 778 782 798 812 848 872"
    ),
    "stage": _places(
        "401 402 486 494 498 513 541 546 558 566 577 579 593 594 642 643 650 683 684 687 699 776 819 822 "
        "851 875 881 889 903 917 921"
    ),
    "formal": _places("400 451 457 568 652 667 834 906 982"),
    "food": tuple(range(923, 970)),
    "landscape": tuple(range(970, 981)),
    "buildings": _places("425 442 483 497 663 668 698 832 900"),
}
"""Places in ImageNet's 1000 classes."""
_FLOOR: Final = 0.01
"""The least probability that a side may give a field: no side alone rules one out."""


class Fusion(NamedTuple):
    """`frames`: float64 [groups + 2, fields], the last row the bias; `weights`: float64 [sides]; `prior`: [fields]."""

    frames: Numbers
    weights: Numbers
    prior: Numbers


@cache
def fitted() -> Fusion:
    """The shipped weights."""
    path = files("model_plugins.features") / "data" / "video_fields.npz"
    with path.open("rb") as stream, np.load(stream) as data:
        return Fusion(*(data[name].astype(np.float64) for name in Fusion._fields))


def group_row(tags: Sequence[Mapping[str, Any]]) -> Numbers:
    """Tags of a video -> float64 [groups + 1]: square roots of the groups' scores, and of what no tag accounts for."""
    score = {int(tag["class"]): float(tag["score"]) for tag in tags}
    sums = [sum(score.get(place, 0.0) for place in places) for places in GROUPS.values()]
    return np.asarray(np.sqrt([*sums, max(0.0, 1.0 - sum(score.values()))]), np.float64)


def softmax(logits: Numbers) -> Numbers:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def frame_shares(row: Numbers, frames: Numbers) -> Numbers:
    """`group_row` -> probabilities of the fields."""
    return softmax(np.asarray(np.append(row, 1.0) @ frames, np.float64))


def text_shares(text: str) -> Numbers | None:
    """Probabilities of the fields by `topics`; None where the text says too little."""
    return topics.probabilities(text, topics.fitted())


def fuse(sides: Mapping[str, Numbers | None], fusion: Fusion) -> Numbers:
    """Probabilities by side (absent or None: says nothing) -> probabilities of the fields."""
    logits = fusion.prior.copy()
    for side, weight in zip(SIDES, fusion.weights.tolist(), strict=True):
        shares = sides.get(side)
        if shares is not None:
            logits += weight * np.log(np.maximum(shares, _FLOOR))
    return softmax(logits)
