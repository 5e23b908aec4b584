"""Whether memory stays flat: resident bytes of each part over hours, judged by medians."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from deploy.processes import marked

GROWTH = 1.1
"""The median of the last third over that of the middle third; the first third is warm-up."""
SLACK_BYTES = 48 << 20
"""So much more is no growth, whatever it is in parts of a small process."""
HOLDS_DATA = frozenset({"index", "redis", "kafka"})
"""They grow with what they are given, as they should; the soak tells their bytes and does not judge them."""


def resident(folders: Sequence[Path]) -> dict[str, int]:
    """Resident bytes by part, children included, of the stacks and clusters in some folders."""
    found: dict[str, int] = {}
    for folder in folders:
        for process, mark in marked(f"{folder.resolve()}#"):
            part = mark.rpartition("#")[2]
            name = "taskmanagers" if part.startswith("taskmanager") else part
            with contextlib.suppress(psutil.Error):
                found[name] = found.get(name, 0) + psutil.Process(process.pid).memory_info().rss
    return found


def growth(samples: Sequence[int]) -> float:
    """Last third over middle third; 1.0 for fewer than six samples."""
    if len(samples) < 6:
        return 1.0
    third = len(samples) // 3
    before = statistics.median(samples[third : 2 * third])
    after = statistics.median(samples[2 * third :])
    return 1.0 if after - before <= SLACK_BYTES else round(after / max(before, 1), 3)


def growing(samples: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Parts whose memory does not stay flat, and by how much it grew."""
    found = {name: growth(values) for name, values in samples.items() if name not in HOLDS_DATA}
    return {name: by for name, by in found.items() if by > GROWTH}
