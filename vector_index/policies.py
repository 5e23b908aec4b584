"""Policies: the thresholds of one business scene. A content ID belongs to one policy."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from materials.errors import UsageError
from materials.records import Kind


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When two materials share a content ID.

    `thresholds`: by kind, the score at which a material joins the *centre* of a cluster; an exemplar it joins
    only at threshold + `margin`, which keeps clusters from chaining.
    """

    name: str
    thresholds: Mapping[Kind, float]
    margin: float

    def centre_threshold(self, kind: Kind) -> float:
        """Score from which a cluster's centre is joined."""
        return self.thresholds[kind]

    def member_threshold(self, kind: Kind) -> float:
        """Score from which an exemplar is joined; never out of reach."""
        return min(self.thresholds[kind] + self.margin, (1.0 + self.thresholds[kind]) / 2)


POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(name="feed", thresholds={"image": 0.8, "video": 0.7, "post": 0.4}, margin=0.2),
        Policy(name="video-dedup", thresholds={"image": 0.8, "video": 0.6, "post": 0.5}, margin=0.2),
        Policy(name="copyright", thresholds={"image": 0.9, "video": 0.85, "post": 0.8}, margin=0.1),
    )
}


def policy_named(name: str, policies: Mapping[str, Policy] = POLICIES) -> Policy:
    """The policy of that name.

    Raises:
        UsageError: there is none; the remedy names the nearest.
    """
    try:
        return policies[name]
    except KeyError:
        near = get_close_matches(name, policies, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"unknown policy {name!r}", f"{hint}Known: {', '.join(policies)}") from None
