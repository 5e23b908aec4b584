"""The log's table of verdicts: what persons said of two materials, which wins over every score until it is withdrawn.

`same` verdicts connect materials into *groups*; a `different` verdict between two materials keeps their whole groups
apart. Both hold for materials that are deleted and come back, and for revisions with other content. The invariant that
every operation keeps: stored members of one group share a content ID, and no content ID has members of two groups that
are kept apart.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

Said = Literal["same", "different"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict. `at`: epoch seconds."""

    policy: str
    one: str
    other: str
    verdict: Said
    who: str
    why: str
    at: float

    def partner(self, material_id: str) -> str:
        """The other of the two."""
        return self.other if material_id == self.one else self.one


class VerdictTables:
    """Reads and writes inside the transaction that the log has open. The log's only table that is held in memory: a
    person gives few verdicts, and every arriving material asks for its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._of: dict[tuple[str, str], dict[str, Verdict]] = {}
        self.forget()

    def forget(self) -> None:
        """Read all again: a transaction was rolled back."""
        self._of.clear()
        query = "SELECT policy, one, other, verdict, who, why, at FROM verdicts"
        for policy, one, other, verdict, who, why, at in self._db.execute(query):
            self._remember(Verdict(policy=policy, one=one, other=other, verdict=verdict, who=who, why=why, at=at))

    def _remember(self, verdict: Verdict) -> None:
        self._of.setdefault((verdict.policy, verdict.one), {})[verdict.other] = verdict
        self._of.setdefault((verdict.policy, verdict.other), {})[verdict.one] = verdict

    def between(self, policy: str, one: str, other: str) -> Verdict | None:
        """What was said of these two themselves."""
        return self._of.get((policy, one), {}).get(other)

    def about(self, policy: str, material_id: str) -> list[Verdict]:
        """All that was said of a material, oldest first."""
        return sorted(self._of.get((policy, material_id), {}).values(), key=lambda v: (v.at, v.one, v.other))

    def all(self, policy: str) -> list[Verdict]:
        """Every verdict under a policy, oldest first."""
        found = {(v.one, v.other): v for (scene, _), of in self._of.items() if scene == policy for v in of.values()}
        return sorted(found.values(), key=lambda v: (v.at, v.one, v.other))

    def group(self, policy: str, material_id: str) -> set[str]:
        """The material and all that verdicts `same` connect with it."""
        group, open_ = {material_id}, [material_id]
        while open_:
            for partner, verdict in self._of.get((policy, open_.pop()), {}).items():
                if verdict.verdict == "same" and partner not in group:
                    group.add(partner)
                    open_.append(partner)
        return group

    def kept_apart(self, policy: str, group: set[str]) -> dict[str, Verdict]:
        """Material -> the verdict `different` that keeps it apart from the group: the other groups as a whole."""
        apart: dict[str, Verdict] = {}
        for material_id in sorted(group):
            for partner, verdict in self._of.get((policy, material_id), {}).items():
                if verdict.verdict == "different":
                    apart.update(dict.fromkeys(self.group(policy, partner), verdict))
        return apart

    def knows(self, policy: str, material_id: str) -> bool:
        """Whether anything was said of the material."""
        return (policy, material_id) in self._of

    def any(self, policy: str, said: Said) -> bool:
        """Whether anything like that was said under a policy."""
        return any(scene == policy and v.verdict == said for (scene, _), of in self._of.items() for v in of.values())

    def give(self, verdict: Verdict) -> None:
        """Write a verdict; what was said of the two before is replaced."""
        self._db.execute(
            "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (verdict.policy, verdict.one, verdict.other, verdict.verdict, verdict.who, verdict.why, verdict.at),
        )
        self._remember(verdict)

    def withdraw(self, verdict: Verdict) -> None:
        """Forget what was said of two."""
        where = (verdict.policy, verdict.one, verdict.other)
        self._db.execute("DELETE FROM verdicts WHERE policy=? AND one=? AND other=?", where)
        for mine, partner in ((verdict.one, verdict.other), (verdict.other, verdict.one)):
            of = self._of[(verdict.policy, mine)]
            del of[partner]
            if not of:
                del self._of[(verdict.policy, mine)]
