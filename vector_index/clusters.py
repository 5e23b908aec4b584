"""Content IDs as star clusters: pure rules.

A material joins a cluster through its centre at the policy's threshold, or through an exemplar - a member that itself
joined through the centre - at threshold + margin. Who joined through an exemplar recruits nobody: so a chain of
near-duplicates, each a little further from the last, ends after two steps (union-find chains without end; star
clusters bound the drift: Aslam, Pelekhov, Rus, "The star clustering algorithm", 2004).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from materials.records import Candidate, Kind
from vector_index.policies import Policy

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _LETTERS for other in _LETTERS]
_SHIFTS = range(70, -1, -10)
"""Ten bits at a time: `base64.b32encode` is ten times slower."""
DIGEST_BYTES = 10
"""80 bits: 16 characters of base32, and a collision only after about 10^12 content IDs."""


class Compared(msgspec.Struct, frozen=True, gc=False):
    """A fine-ranked candidate and where it stands in its cluster. `row` orders equals, oldest first."""

    candidate: Candidate
    row: int
    is_centre: bool
    is_exemplar: bool


def choose(compared: Iterable[Compared], policy: Policy, kind: Kind) -> Compared | None:
    """The candidate through which the material joins a cluster, or None: it founds its own.

    Only relation `same` and candidates with a content ID (of this policy) count. Best score wins; among equals a
    centre, then the oldest row: the answer depends on nothing else.
    """
    centre, member = policy.centre_threshold(kind), policy.member_threshold(kind)
    eligible = [
        entry
        for entry in compared
        if entry.candidate.relation == "same"
        and entry.candidate.content_id
        and (entry.is_centre or entry.is_exemplar)
        and entry.candidate.score >= (centre if entry.is_centre else member)
    ]
    if not eligible:
        return None
    return min(eligible, key=lambda e: (-e.candidate.score, not e.is_centre, e.row))


def comparable(compared: list[Compared], policy: Policy) -> list[Compared]:
    """What a material may be compared with: under a policy with a reference bank, the references.

    There every reference recruits and nobody else does, so that `is_exemplar` tells them.
    """
    return [entry for entry in compared if entry.is_exemplar] if policy.references else compared


def mint(policy: str, material_id: str, revision: int, ordinal: int = 0) -> str:
    """`<policy>-<base32 of blake2b-80(material_id, revision, split ordinal)>`: the same founder mints the same ID."""
    name = material_id.encode()
    founder = b"%d:%b,%d,%d" % (len(name), name, revision, ordinal)
    digest = hashlib.blake2b(founder, digest_size=DIGEST_BYTES).digest()
    number = int.from_bytes(digest, "big")
    return f"{policy}-{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"
