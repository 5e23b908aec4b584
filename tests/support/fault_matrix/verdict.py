"""What became of a case's records: lost, answered twice, two content IDs. Pure; the checks themselves are tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

TOTALS = ("sent", "outcomes", "lost", "two_ids", "doubled", "repeated", "split", "unpublished", "dead", "queued")
IN_OPERATOR = 3
"""Attempts before a record goes to the retry queue: `retry.attempts` of a spec that does not say."""


class Seen(msgspec.Struct, frozen=True):
    """One result line: what it says, and when (epoch seconds) it was first to be read."""

    outcome: str
    content_id: str
    at: float
    attempts: int = 1


class Sent(msgspec.Struct, frozen=True):
    """One record that entered. `twin`: the earlier material whose content ID it must get."""

    kind: str
    at: float
    twin: str = ""


class Case(msgspec.Struct, kw_only=True):
    """One row of `summary.json`.

    `sent`, `outcomes`: distinct materials; `lost`: sent and not answered; `two_ids`: with more than one content ID
    over all result lines, Redis and index; `doubled`: answered more than once in the results, and by an at-least-once
    sink not in the same words; `repeated`: in the same words there, which is its right; `split`: word-by-word copies
    with a content ID other than the original's; `unpublished`: whose outcome Redis or the index does not have.
    `killed_at`: UTC; `killed_after`: records sent by then; `fault_s`: how long the fault was held.
    `recovery_s`: from the end of the fault until a record of every kind that entered after it had its committed
    outcome; -1 when that never came. `slowest_s`: the longest way of a record. `queued`: records that came through the
    retry queue, by their count of attempts.
    """

    name: str
    sent: int = 0
    outcomes: int = 0
    lost: int = 0
    two_ids: int = 0
    doubled: int = 0
    repeated: int = 0
    split: int = 0
    unpublished: int = 0
    dead: int = 0
    by_outcome: dict[str, int] = {}
    killed: list[str] = []
    killed_at: str = ""
    killed_after: int = 0
    fault_s: float = 0.0
    recovery_s: float = -1.0
    slowest_s: float = 0.0
    queued: int = 0
    reconcile: dict[str, object] = {}
    examples: list[str] = []
    error: str = ""

    @property
    def sound(self) -> bool:
        """Nothing was lost, doubled, split or dead, and the case ran to its end."""
        bad = self.lost or self.two_ids or self.doubled or self.split or self.unpublished or self.dead or self.error
        return not bad and self.reconcile.get("sound", True) is True


def judge(
    case: Case,
    sent: Mapping[str, Sent],
    results: Mapping[str, Sequence[Seen]],
    redis: Mapping[str, str],
    index: Mapping[str, str],
    healed_at: float,
    exactly_once: bool = True,
) -> Case:
    """Fill a case in.

    Args:
        sent: by material id.
        results: the committed result lines, by material id; others than those sent are left out of account.
        redis, index: the content ID that each of them tells of a material; absent where it knows none.
        healed_at: end of the fault, epoch seconds.
        exactly_once: whether the sink promises each line once; else the same line may come again.
    """
    answered = {name: results[name] for name in sent if results.get(name)}
    ids: dict[str, set[str]] = {}
    for name in sent:
        told = {seen.content_id for seen in answered.get(name, ())} | {redis.get(name, ""), index.get(name, "")}
        ids[name] = told - {""}
    taken = {name for name, seen in answered.items() if seen[-1].outcome in ("unique", "duplicate")}
    lost = sorted(set(sent) - set(answered))
    two = sorted(name for name, found in ids.items() if len(found) > 1)
    pairs = [(name, record.twin) for name, record in sent.items() if name in taken and record.twin in taken]
    split = sorted(name for name, twin in pairs if not ids[name] & ids[twin])
    unpublished = sorted(name for name in taken if name not in redis or name not in index)
    often = {name: seen for name, seen in answered.items() if len(seen) > 1}
    doubled = sorted(name for name, seen in often.items() if exactly_once or len({_answer(each) for each in seen}) > 1)
    outcomes = Counter(seen[-1].outcome for seen in answered.values())
    case.sent, case.outcomes, case.by_outcome = len(sent), len(answered), dict(sorted(outcomes.items()))
    case.lost, case.two_ids, case.split = len(lost), len(two), len(split)
    case.repeated = len(often) - len(doubled)
    case.doubled, case.unpublished, case.dead = len(doubled), len(unpublished), outcomes["dead"]
    case.slowest_s = round(max((seen[0].at - sent[name].at for name, seen in answered.items()), default=0.0), 2)
    case.queued = sum(seen[-1].attempts > IN_OPERATOR for seen in answered.values())
    case.recovery_s = recovery(sent, answered, healed_at)
    for what, names in (
        ("lost", lost),
        ("two ids", two),
        ("doubled", doubled),
        ("split", split),
        ("gone", unpublished),
    ):
        case.examples += [f"{what}: {name} {_told(answered.get(name, ()))}" for name in names[:3]]
    case.examples += [f"dead: {name}" for name, seen in answered.items() if seen[-1].outcome == "dead"][:3]
    return case


def recovery(sent: Mapping[str, Sent], answered: Mapping[str, Sequence[Seen]], healed_at: float) -> float:
    """Seconds from the end of the fault until every kind flowed again; -1 when one did not."""
    first: dict[str, float] = {}
    for name, record in sent.items():
        if record.at >= healed_at:
            at = answered[name][0].at if name in answered else float("inf")
            first[record.kind] = min(first.get(record.kind, float("inf")), at)
    if not first or float("inf") in first.values():
        return -1.0
    return round(max(first.values()) - healed_at, 2)


def _answer(seen: Seen) -> tuple[str, str]:
    return seen.outcome, seen.content_id


def _told(seen: Iterable[Seen]) -> str:
    return ", ".join(f"{each.outcome} {each.content_id}" for each in seen)


def totals(done: Sequence[Case]) -> dict[str, object]:
    """Over all cases."""
    sums: dict[str, object] = {name: sum(getattr(case, name) for case in done) for name in TOTALS}
    return sums | {"sound": all(case.sound for case in done), "errors": sum(bool(case.error) for case in done)}


def row(case: Case) -> str:
    """A case for a person: a line, and one more for each example of what went wrong."""
    numbers = ", ".join(f"{getattr(case, name)} {name}" for name in TOTALS)
    told = f"{case.name:34} {numbers}; recovered in {case.recovery_s} s, slowest {case.slowest_s} s"
    more = [*case.examples, *case.error.strip().splitlines()[-1:]]
    if case.reconcile.get("sound", True) is not True:
        more.append(f"reconcile: {case.reconcile}")
    return "\n".join([told, *(f"    {line}" for line in more)])
