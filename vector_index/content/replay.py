"""Replays what a log recorded into an empty folder and compares: the same inputs give the same content IDs.

Every material whose evidence is still stored is recalled, ranked and placed anew; what persons did is done again in
between. Evidence of deleted and replaced materials is erased, so their own decisions, and those that went through them,
are taken from the log and counted as such. Where a decision comes out otherwise, it is told, and the recorded one is
taken, so that all later ones are compared on the same ground. In the end the tables of content IDs must be equal.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from materials.errors import SosieError
from materials.records import AssignItem, Kind
from vector_index.clusters import Compared
from vector_index.content import operations
from vector_index.content.placement import PERSON, Placement, place
from vector_index.content.recorded import Batch, Decision, Key, copy_log, recorded
from vector_index.content.shelf import Shelf
from vector_index.engine import Engine
from vector_index.log import Log
from vector_index.log_events import Event
from vector_index.policies import POLICIES, Policy
from vector_index.ranking.protocol import Ranker

MOST_TOLD = 100
_IDS = "SELECT content_id, policy, kind, founder, revision, ordinal, redirect_to, split_from FROM content_ids"
_MEMBERS = "SELECT m.material_id, c.policy, c.content_id FROM members c JOIN materials m USING (row) WHERE m.live"


class Difference(msgspec.Struct, frozen=True):
    """A decision that came out otherwise. `recorded`, `replayed`: content IDs; "" for a newly founded one."""

    material_id: str
    policy: str
    revision: int
    recorded: str
    replayed: str
    score: float


class ReplayReport(msgspec.Struct, kw_only=True):
    """What a replay found. `same`: decisions that came out the same; `taken`: taken from the log, since evidence that
    they rest on is erased; `different`: the others, the first of them in `differences`. `operations`: of persons and
    the merge job. `identical`: the tables of content IDs and members are equal. `unequal`: rows that are not."""

    decisions: int = 0
    same: int = 0
    taken: int = 0
    different: int = 0
    differences: list[Difference] = []
    operations: int = 0
    content_ids: int = 0
    members: int = 0
    identical: bool = False
    unequal: list[str] = []


def replay(
    source: Path,
    rankers: Mapping[Kind, Ranker],
    policies: Mapping[str, Policy] = POLICIES,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> ReplayReport:
    """Replay a log into a temporary folder.

    Args:
        source: a `log.sqlite`; a service may be writing to it: a copy of this moment is replayed.
        on_progress: told how many decisions are done.

    Raises:
        UsageError: there is no log that can be read.
        Permanent: it is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="sosie-replay-") as folder:
        copy = Path(folder) / "recorded.sqlite"
        copy_log(source, copy)
        log = Log(copy)
        check = _Check(log)
        engine = Engine(Path(folder) / "replayed", rankers, policies, clock=lambda: 0.0, place=check.place)
        try:
            for one in recorded(log):
                if isinstance(one, Batch):
                    check.decisions = one.decisions
                    engine.assign(one.items)
                    check.report.decisions += len(one.decisions)
                    on_progress(check.report.decisions)
                else:
                    _operate(engine, one)
                    check.report.operations += 1
        finally:
            engine.close(take_snapshot=False)
            log.close()
        check.report.same = check.report.decisions - check.report.taken - check.report.different
        _compare(check.report, copy, Path(folder) / "replayed" / "log.sqlite")
        return check.report


class _Check:
    """Stands in for the rule of placement: applies it, compares with what was recorded, and returns the latter."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.report = ReplayReport()
        self.decisions: dict[Key, Decision] = {}

    def place(self, log: Log, item: AssignItem, compared: Sequence[Compared], policy: Policy) -> Placement | None:
        """As `placement.place`."""
        made = self.decisions[(item.material_id, item.policy, item.revision)]
        answer = made.answer
        found = place(log, item, compared, policy)
        now = "" if found is None else found.content_id
        then = "" if answer.matched is None else answer.content_id
        # the same ID through another member is another way: a later verdict takes along who came through whom
        if now == then and (found is None or answer.matched is None or _partner(found) == answer.matched.material_id):
            return found
        if made.erased or self._rests_on_erased(made):
            self.report.taken += 1
        elif now != then:
            self.report.different += 1
            score = 0.0 if found is None else found.matched.score
            if len(self.report.differences) < MOST_TOLD:
                told = Difference(item.material_id, item.policy, item.revision, then, now, score)
                self.report.differences.append(told)
        if answer.matched is None:
            return None
        centre = log.clusters.centres([then]).get(then)
        live = log.live(answer.matched.material_id)
        through_centre = live is not None and live.row == centre
        return Placement(then, through_centre or answer.matched.ranker == PERSON, answer.matched)

    def _rests_on_erased(self, made: Decision) -> bool:
        """Something that was compared then is gone or has other content now."""
        compared = (made.answer, *made.answer.parts)  # a post rests on what its media were compared with
        names = {candidate.material_id for answer in compared for candidate in answer.candidates}
        return any(self._changed(name) for name in names)

    def _changed(self, material_id: str) -> bool:
        history = self._log.histories([material_id])[material_id]
        return self._log.live(material_id) is None or len({decided.fingerprint for decided in history}) > 1


def _partner(placement: Placement) -> str:
    return placement.matched.material_id


def _operate(engine: Engine, events: Sequence[Event]) -> None:
    """One call of a person or the merge job, told by the events of its transaction."""
    verdict = next((event for event in events if event.what in ("same", "different", "withdrawn")), None)
    first = verdict or events[0]
    it, other, who, why = first.material_id, first.other, first.who or "?", first.why

    def again(shelf: Shelf) -> None:
        if first.what == "same":
            operations.link(shelf, first.policy, it, other, who, why)
        elif first.what == "different":
            operations.unlink(shelf, first.policy, it, other, who, why)
        elif first.what == "withdrawn":
            operations.withdraw(shelf, first.policy, it, other, first.details["verdict"], who, why)
        elif first.what == "merged":
            operations.redirect(shelf, first.content_id, other, who, why, first.details.get("score"))
        else:
            operations.split(shelf, first.content_id, first.details["members"], who, why)

    try:
        engine.change(again)
    except SosieError as error:  # told by the comparison in the end, with what it led to
        error.add_note(f"{first.what} of {first.material_id} {first.content_id}")
        raise


def _compare(report: ReplayReport, copy: Path, replayed: Path) -> None:
    with closing(sqlite3.connect(copy)) as one, closing(sqlite3.connect(replayed)) as other:
        ids, again = set(one.execute(_IDS)), set(other.execute(_IDS))
        members, members_again = set(one.execute(_MEMBERS)), set(other.execute(_MEMBERS))
    report.content_ids, report.members = len(ids), len(members)
    unequal = sorted((ids ^ again) | (members ^ members_again), key=str)
    report.unequal = [" ".join(str(value) for value in row if value is not None) for row in unequal[:MOST_TOLD]]
    report.identical = not unequal
