"""Which recall path a feature schema gets."""

from __future__ import annotations

from vector_index.spaces.dense import DenseSpace
from vector_index.spaces.protocol import Space
from vector_index.spaces.timed import TimedSpace

SEARCHED = ("vector", "timed-vectors", "keypoints")
"""Schemas that recall searches; any other (`pdq`, …) is evidence for fine ranking only."""

EVIDENCE = (*SEARCHED, "pdq")
"""Schemas that a decision can rest on. Features of others (tags, words, …) need not be sent here."""


def make_space(schema: str) -> Space | None:
    """A new, empty space for features of that schema, None where there is nothing to search."""
    if schema == "vector":
        return DenseSpace()
    if schema == "timed-vectors":
        return TimedSpace()
    if schema == "keypoints":
        # late: votes bring trained tables with them, which a job without local features never pays for
        from vector_index.spaces.keypoint_votes import KeypointVotes

        return KeypointVotes()
    return None
