"""One case: steady load, the fault in the middle of it, and then the books."""

from __future__ import annotations

import random
import time
import traceback
from datetime import UTC, datetime

import msgspec
from fault_matrix.bed import Bed
from fault_matrix.faults import Fault
from fault_matrix.feed import Feed
from fault_matrix.reconciled import reconcile
from fault_matrix.records import MediaKit, records
from fault_matrix.verdict import Case, Sent, judge

from pipeline import lookups
from vector_index.client import IndexClient

POLICY = "feed"
ANSWER_SECONDS = 180.0
_PAGE = 200


class Load(msgspec.Struct, frozen=True):
    """`records` at least, at `rate` a second, and `after` of them after the fault: every kind is among fifty.
    `reconcile`: whether the system is asked for its own report after it."""

    records: int = 500
    rate: float = 25.0
    after: int = 150
    reconcile: bool = True

    @property
    def patience(self) -> float:
        """Seconds in which they can be out."""
        return 60.0 + 3 * (self.records + self.after) / self.rate


def run_case(bed: Bed, kit: MediaKit, fault: Fault, load: Load, chance: random.Random) -> Case:
    """Send, strike, wait for the answers, judge. What goes wrong on the way is the case's `error`."""
    case = Case(name=fault.name)
    prefix = f"{fault.name}-{chance.randrange(16**6):06x}"
    feed = Feed(records(prefix, kit, chance), bed.outlet, load.rate)
    begun = healed = time.time()
    feed.start()
    try:
        feed.await_sent(int(load.records * chance.uniform(0.3, 0.6)), load.patience)
        case.killed_after = len(feed.sent)
        struck = time.time()
        case.killed_at = datetime.fromtimestamp(struck, UTC).isoformat(timespec="milliseconds")
        case.killed = fault.strike(bed)
        healed = time.time()
        case.fault_s = round(healed - struck, 2)
        feed.await_sent(max(load.records, len(feed.sent) + load.after), load.patience)
    except Exception:  # the case is told as broken, with the trace, and the matrix goes on
        case.error = traceback.format_exc()
    finally:
        feed.end()
    bed.results.await_all(feed.sent, ANSWER_SECONDS)
    try:
        bed.await_whole()
        judge_all(bed, case, feed, healed)
        if load.reconcile:
            bed.cluster.await_checkpoint(bed.job_id)
            case.reconcile = reconcile(bed.job_state, begun)
    except Exception:  # as above; the first error is the cause
        case.error = case.error or traceback.format_exc()
    return case


def judge_all(bed: Bed, case: Case, feed: Feed, healed: float) -> None:
    """Ask results, Redis and index, each for itself."""
    names = list(feed.sent)
    redis: dict[str, str] = {}
    index: dict[str, str] = {}
    client = IndexClient(bed.servers.index)
    try:
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            for name, found in lookups.outcomes(bed.servers.redis, page).items():
                if POLICY in found:
                    redis[name] = found[POLICY].get("content_id") or ""
            for name, assignment in zip(page, client.get(page, POLICY), strict=True):
                if assignment is not None:
                    index[name] = assignment.content_id
    finally:
        client.close()
    sent = {name: Sent(record.kind, at, record.twin) for name, (record, at) in feed.sent.items()}
    judge(case, sent, bed.results.seen, redis, index, healed, bed.results.exactly_once)
