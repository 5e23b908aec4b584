"""Which recall path a feature schema gets."""

from __future__ import annotations

from pathlib import Path

from vector_index.segments.settings import SegmentSettings
from vector_index.spaces.dense import DenseSpace
from vector_index.spaces.protocol import Space
from vector_index.spaces.timed import TimedSpace

SEARCHED = ("vector", "timed-vectors", "keypoints")
"""Schemas that recall searches; any other (`pdq`, …) is evidence for fine ranking only."""

EVIDENCE = (*SEARCHED, "pdq", "timed-keypoints")
"""Schemas that a decision can rest on. Features of others (tags, words, …) need not be sent here."""


def make_space(schema: str, home: Path | None = None, settings: SegmentSettings | None = None) -> Space | None:
    """A new, empty space for features of that schema, None where there is nothing to search.

    Args:
        home: the folder of its segments; a temporary one without it.
    """
    if schema == "vector":
        return DenseSpace(home, settings)
    if schema == "timed-vectors":
        return TimedSpace(home, settings)
    if schema == "keypoints":
        # late: votes bring trained tables with them, which a job without local features never pays for
        from vector_index.spaces.keypoint_votes import KeypointVotes

        return KeypointVotes()
    return None
