"""The canary: two posts of one text, sent through a job's own source, so that the way is tried even in a quiet window.

The second must become a duplicate of the first. They count like all other records; a window has one pair of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from pipeline import lookups
from pipeline.reconciling.topics import is_kafka
from reconcile.ledger.runs import RunRecord
from reconcile.report.objectives import CANARY_NOT_SENT, CANARY_WELL
from reconcile.report.table import moment

_POLL_S = 0.2


def send(run: RunRecord, window: int) -> list[str]:
    """Write the canary of a window into a run's watched folder, once; the ids of its two records."""
    folder = Path(str(run.source["path"]))
    stamp = moment(window).replace(":", "").replace("-", "")
    names = [f"sosie-canary.{run.job}.{stamp}.{half}" for half in ("a", "b")]
    path = folder / f"sosie-canary-{stamp}.jsonl"
    if not path.exists():
        # Long, and different in each window: a canary must not become a duplicate of the one before.
        text = f"Canary of {run.job} for the window that begins at {moment(window)}, number {window}: {window * 7919}."
        lines = [json.dumps({"material_id": name, "kind": "post", "text": text}) for name in names]
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text("\n".join(lines) + "\n")
        unfinished.rename(path)
    return names


def fly(run: RunRecord, window: int, redis_url: str, patience_s: float, clock: Callable[[], float]) -> str:
    """Send a canary and wait for both outcomes.

    Args:
        patience_s: seconds after which there is no answer.
        clock: monotonic seconds.

    Returns:
        What became of it: begins with `answered`, `not sent`, or says what is wrong.

    Raises:
        UsageError: Redis does not answer.
    """
    if not run.watch or is_kafka(run.source):
        return f"{CANARY_NOT_SENT}: {run.run_id} watches no folder"
    names = send(run, window)
    began = clock()
    while True:
        found = lookups.outcomes(redis_url, names)
        first, second = (found[name].get(run.policy) for name in names)
        if first and second:
            break
        if clock() - began > patience_s:
            return f"no answer within {patience_s:g} s"
        time.sleep(_POLL_S)
    good = {"unique", "duplicate"}
    if first["outcome"] not in good or second["outcome"] not in good:
        return f"wrong: {first['outcome']} and {second['outcome']}"
    if first["content_id"] != second["content_id"]:
        return f"wrong: two content IDs, {first['content_id']} and {second['content_id']}"
    return f"{CANARY_WELL}: both have {first['content_id']}"
