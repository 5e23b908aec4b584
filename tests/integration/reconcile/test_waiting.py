"""What waits for another attempt counts as in flight, wherever on its way it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from local_redis import LocalRedis

from pipeline.reconciling.waiting import waiting
from reconcile.retry import folders
from reconcile.retry.entry import Entry, to_line
from reconcile.retry.queue import RetryQueue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalRedis]:
    running = LocalRedis(tmp_path)
    running.start()
    try:
        yield running
    finally:
        running.kill()


def entry(material_id: str, revision: int) -> Entry:
    return Entry(
        entry_id=f"e-{material_id}",
        run_id="r",
        job="j",
        policy="feed",
        material_id=material_id,
        revision=revision,
        kind="post",
        biz="",
        plugin="",
        error="Retryable",
        message="the index does not answer",
        attempt=1,
        entered_at=1.0,
        failed_at=2.0,
        due_at=3.0,
        trace_id="",
        record=b"",
    )


def test_in_a_hand_over_file_in_the_queue_and_on_the_way_back(store: LocalRedis, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert waiting(state, store.url) == frozenset()
    folders.handed(state).mkdir(parents=True)
    (folders.handed(state) / "r-0.jsonl").write_bytes(to_line(entry("a", 0)) + b"\n")
    with redis.Redis.from_url(store.url) as connection:
        queue = RetryQueue(connection)
        queue.ingest("x", [entry("b", 2)], 2.0)
        assert waiting(state, store.url) == {("a", 0), ("b", 2)}
        batch = queue.claim("r", 10.0, 5)
        assert waiting(state, store.url) == {("a", 0), ("b", 2)}
        assert batch is not None
        queue.acknowledge(batch)
    assert waiting(state, store.url) == {("a", 0)}
