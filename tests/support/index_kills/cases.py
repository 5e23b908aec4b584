"""Every case beside the kills, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from index_kills import damage, starved
from index_kills.book import Verdict

CASES: dict[str, Callable[[Path], Verdict]] = {
    case.__name__.replace("_", "-"): case
    for case in (
        damage.torn_tail,
        damage.cut_log,
        damage.flipped_tail,
        damage.lost_log,
        damage.damaged_snapshots,
        damage.second_process,
        damage.other_formats,
        damage.foreign_log,
        starved.size_limit,
        starved.full_disk,
        starved.read_only,
    )
}


def run(name: str) -> Verdict:
    """One case in a folder of its own.

    Raises:
        index_kills.damage.Skipped: this machine does not allow it.
        AssertionError: a refusal that was none, or an unclear one.
    """
    with tempfile.TemporaryDirectory(prefix="sosie-damage-") as place:
        return CASES[name](Path(place))
