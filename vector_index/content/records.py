"""What operations on content IDs answer. They travel as JSON: people read them, and kinds of evidence come and go."""

from __future__ import annotations

from typing import Any

import msgspec

from materials.records import Kind


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation changed.

    `content_id`: the canonical ID that it was about, or that survived. `redirected`: what was merged into it. `new`:
    the ID that a split made. `moved`: material -> its content ID now. `changed`: False where it was so already.
    """

    content_id: str
    redirected: str = ""
    new: str = ""
    moved: dict[str, str] = {}
    changed: bool = True


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `at`: epoch seconds, None where it was not written down.

    `what`: `minted`, `joined`, `deleted`, `replaced`, `merged`, `absorbed`, `split`, `split_off`, `handed_over`,
    `same`, `different`, `withdrawn`.
    """

    what: str
    content_id: str = ""
    material_id: str = ""
    other: str = ""
    at: float | None = None
    who: str = ""
    why: str = ""
    score: float | None = None
    details: dict[str, Any] = {}
    sequence: int = 0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Of a content ID, or of a material under a policy (`material_id`). `canonical`: after redirects."""

    content_id: str
    canonical: str
    policy: str
    kind: Kind
    material_id: str = ""
    founder: str = ""
    split_from: str = ""
    members: int = 0
    entries: list[HistoryEntry] = []
    left_out: int = 0


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Two content IDs that the scores say are one. `into` is the older. `barred`: the verdict that forbids it."""

    content_id: str
    into: str
    material_id: str
    other: str
    score: float
    needed: float
    ranker: str
    barred: str = ""


class ProposalPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a scan: `scanned` content IDs; `after` is where the next page begins, 0 when all are seen."""

    proposals: list[Proposal]
    scanned: int
    after: int
