"""The canary: two posts of one text, sent through a job's own source, so that the way is tried even in a quiet window.

The second must become a duplicate of the first. They count like all other records; a window has one pair of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from materials.errors import SosieError
from pipeline import lookups
from pipeline.kafka.settings import KafkaSource
from pipeline.reconciling.topics import is_kafka
from reconcile.ledger.runs import RunRecord
from reconcile.report.objectives import CANARY_NOT_SENT, CANARY_WELL
from reconcile.report.table import moment

_POLL_S = 0.2
_SENT = "canaries"
"""Folder of the state, with one of each job: an empty file for each pair that went to a topic, which cannot be asked
for it. Those of windows older than `_REMEMBERED_S` are forgotten."""
_REMEMBERED_S = 30 * 24 * 3600


def records_of(run: RunRecord, window: int) -> dict[str, bytes]:
    """The pair of a window: material id -> line."""
    stamp = _stamp(window)
    # Long, and different in each window: a canary must not become a duplicate of the one before.
    text = f"Canary of {run.job} for the window that begins at {moment(window)}, number {window}: {window * 7919}."
    names = [f"sosie-canary.{run.job}.{stamp}.{half}" for half in ("a", "b")]
    return {name: json.dumps({"material_id": name, "kind": "post", "text": text}).encode() for name in names}


def send_to_folder(run: RunRecord, window: int) -> None:
    """Write the canary of a window into a run's watched folder, once."""
    path = Path(str(run.source["path"])) / f"sosie-canary-{_stamp(window)}.jsonl"
    if path.exists():
        return
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(b"".join(line + b"\n" for line in records_of(run, window).values()))
    unfinished.rename(path)


def send_to_topic(run: RunRecord, window: int, state: Path) -> None:
    """Produce the canary of a window to the last topic of a run's source, once: any of them takes any kind.

    Raises:
        SosieError: the broker did not take it.
    """
    sent = state / _SENT / run.job / _stamp(window)
    if sent.exists():
        return
    from pipeline.flink.environment import prepare_gateway
    from pipeline.flink.kafka_client import KafkaProducer

    source = KafkaSource.model_validate(run.source)
    prepare_gateway(state / "log")
    sent.parent.mkdir(parents=True, exist_ok=True)
    with KafkaProducer(run.brokers["source"], source.properties) as producer:
        for name, line in records_of(run, window).items():
            producer.send(source.topics[-1], line, name)
    sent.touch()
    oldest = _stamp(window - _REMEMBERED_S)
    for other in sent.parent.iterdir():
        if other.name < oldest:
            other.unlink(missing_ok=True)


def fly(run: RunRecord, window: int, state: Path, redis_url: str, patience_s: float, clock: Callable[[], float]) -> str:
    """Send a canary and wait for both outcomes.

    Args:
        state: the system's folder.
        patience_s: seconds after which there is no answer.
        clock: monotonic seconds.

    Returns:
        What became of it: begins with `answered`, `not sent`, or says what is wrong.

    Raises:
        UsageError: Redis does not answer.
    """
    if is_kafka(run.source):
        if run.ends:
            return f"{CANARY_NOT_SENT}: {run.run_id} reads its topics to an end"
        try:
            send_to_topic(run, window, state)
        except SosieError as error:
            return f"{CANARY_NOT_SENT}: {error}"
    elif not run.watch:
        return f"{CANARY_NOT_SENT}: {run.run_id} watches no folder"
    else:
        send_to_folder(run, window)
    return _answer(run, list(records_of(run, window)), redis_url, patience_s, clock)


def _answer(run: RunRecord, names: list[str], redis_url: str, patience_s: float, clock: Callable[[], float]) -> str:
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


def _stamp(window: int) -> str:
    return moment(window).replace(":", "").replace("-", "")
