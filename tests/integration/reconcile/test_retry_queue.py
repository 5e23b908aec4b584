"""The queue and its pump on a real Redis: taken once, sent once, whatever dies in between."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_redis import LocalRedis
from typer.testing import CliRunner

from deploy.addresses import GivenAddresses
from deploy.parts import retry_pump
from deploy.parts.part import Site
from deploy.record import PartRecord, StackRecord, save
from materials.errors import Overloaded, Retryable
from pipeline.cli.main import app
from reconcile.retry import folders, keys
from reconcile.retry.admission import Admission
from reconcile.retry.entry import Entry, from_returned_line, to_line
from reconcile.retry.lease import Lease, is_held, name_of
from reconcile.retry.outlet import FilesOutlet
from reconcile.retry.pump import Pump
from reconcile.retry.queue import Batch, RetryQueue

RUN = "job-1"


def entry(number: int, due_at: float = 10.0, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "entry_id": f"e{number}",
        "run_id": RUN,
        "job": "job",
        "policy": "feed",
        "material_id": f"M{number}",
        "revision": 0,
        "kind": "post",
        "biz": "feed",
        "plugin": "image-embedding@1",
        "error": "ServerGone",
        "message": "nobody listens",
        "attempt": 3,
        "entered_at": 1.0,
        "failed_at": 2.0,
        "due_at": due_at,
        "trace_id": "t",
        "record": bytes([number % 256]) * 20,
    }
    return Entry(**fields | changes)


def hand_over(state: Path, name: str, entries: list[Entry]) -> None:
    """A file as the job's sink commits it."""
    folder = folders.handed(state)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".unfinished").write_bytes(b"".join(to_line(each) + b"\n" for each in entries))
    (folder / ".unfinished").rename(folder / f"{name}.jsonl")


def came_back(state: Path, run_id: str = RUN) -> list[str]:
    """Material ids of all lines for the second source, each as often as it stands there."""
    found = []
    for path in folders.back_files(state, run_id):
        found += [from_returned_line(line).material_id for line in path.read_bytes().splitlines()]
    return sorted(found)


class Now:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture(scope="module")
def local_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    running = LocalRedis(tmp_path_factory.mktemp("redis"))
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
def store(local_redis: LocalRedis) -> Iterator[Any]:
    connection = redis.Redis.from_url(local_redis.url)
    connection.flushall()
    yield connection
    connection.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folders.back(tmp_path, RUN).mkdir(parents=True)
    return tmp_path


def test_an_entry_waits_until_it_is_due_and_comes_back_once(store: Any, state: Path) -> None:
    now = Now()
    pump = Pump(store, state, now=now)
    hand_over(state, "job-1-a", [entry(1, 10.0), entry(2, 30.0), entry(3, 20.0)])
    assert pump.step() == {"in": 3, "out": 0}
    assert folders.handed_files(state) == []
    assert RetryQueue(store).due_between(RUN) == (10.0, 30.0)
    assert RetryQueue(store).due_between("another-run") is None
    seen = []
    for now.at in (10.0, 20.0, 20.0, 30.0):
        pump.step()
        seen.append(came_back(state))
    assert seen == [["M1"], ["M1", "M3"], ["M1", "M3"], ["M1", "M2", "M3"]]
    assert RetryQueue(store).size() == RetryQueue(store).pending(RUN) == 0
    [first, *_] = [from_returned_line(p.read_bytes()) for p in folders.back_files(state, RUN)]
    assert first.record in {entry(n).record for n in (1, 2, 3)}
    assert set(store.scan_iter(keys.PREFIX + "*")) <= {
        key.encode() for key in (keys.INGESTED, keys.lease(name_of(state)))
    }, "an empty queue leaves nothing but its memory of files, and the lease"


class Dying:
    """Stands before a queue or an outlet, and raises at the n-th call that goes through; before it, or after it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def here(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError("killed here")


class DyingQueue:
    def __init__(self, queue: RetryQueue, dying: Dying) -> None:
        self._queue, self._dying = queue, dying

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._queue, name)

        def call(*given: Any) -> Any:
            self._dying.here()
            answer = real(*given)
            self._dying.here()
            return answer

        return call


class DyingOutlet(FilesOutlet):
    def __init__(self, state: Path, dying: Dying) -> None:
        super().__init__(state)
        self._dying = dying

    def write(self, run_id: str, batch_id: str, lines: Any) -> None:
        self._dying.here()
        super().write(run_id, batch_id, lines)
        self._dying.here()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 12), max_size=6), st.integers(1, 40))
def test_pumps_that_die_anywhere_lose_nothing_and_double_nothing(
    store: Any, tmp_path: Path, deaths: list[int], count: int
) -> None:
    """Each pump dies at a call of its own to Redis or the disk, before or after it; another one goes on."""
    store.flushall()
    shutil.rmtree(tmp_path)
    folders.back(tmp_path, RUN).mkdir(parents=True)
    entries = [entry(n, due_at=float(n % 3)) for n in range(count)]
    hand_over(tmp_path, "job-1-a", entries[: count // 2])
    hand_over(tmp_path, "job-1-b", entries[count // 2 :])
    now = Now()
    now.at = 1.0
    for death in deaths:
        dying = Dying(death)
        pump = Pump(store, tmp_path, DyingOutlet(tmp_path, dying), now)
        pump._queue = DyingQueue(pump._queue, dying)  # type: ignore[assignment]
        try:
            pump.step()
        except OSError:
            store.delete(keys.lease(name_of(tmp_path)))  # as if it had expired
        else:
            pump._lease.release()
    now.at = 5.0
    Pump(store, tmp_path, now=now).step()
    assert came_back(tmp_path) == sorted(each.material_id for each in entries)
    assert RetryQueue(store).size() == 0


def test_two_pumps_at_once_are_as_good_as_one(store: Any, state: Path) -> None:
    """The lease keeps the second one out; were it to expire, a batch that both write has one file."""
    queue = RetryQueue(store)
    queue.ingest("f", [entry(n) for n in range(20)], 0.0)
    first, second = Lease(store, name_of(state)), Lease(store, name_of(state))
    assert [first.hold(), second.hold(), first.hold(), is_held(store, name_of(state))] == [True, False, True, True]
    first.release()
    assert second.hold()
    batch = queue.claim(RUN, 99.0, 500)
    assert batch is not None
    [adopted] = queue.open_batches(RUN)
    assert adopted == batch
    outlet = FilesOutlet(state)
    for each in (batch, adopted):
        outlet.write(RUN, each.batch_id, [b'{"entry_id":"x","material_id":"M","record":""}'])
    assert [queue.acknowledge(batch), queue.acknowledge(adopted)] == [20, 0]
    assert came_back(state) == ["M"]
    assert queue.open_batches(RUN) == []


def test_the_part_of_the_stack_looks_at_the_same_lease(tmp_path: Path) -> None:
    assert retry_pump.lease_key(Site(tmp_path, {}, GivenAddresses(redis="redis://x/0"))) == keys.lease(
        name_of(tmp_path)
    )


def test_a_run_of_another_system_is_left_alone(store: Any, state: Path) -> None:
    hand_over(state, "x", [entry(1, 0.0, run_id="elsewhere-1")])
    assert Pump(store, state, now=lambda: 50.0).step() == {"in": 1, "out": 0}
    assert RetryQueue(store).pending("elsewhere-1") == 1


def ask(url: str, bound: int, *ids: str, now: float = 100.0) -> list[str]:
    async def go() -> list[str]:
        admission = Admission(url, bound)
        answers = []
        for each in ids:
            try:
                await admission.ask(each, now)
                answers.append("yes")
            except Overloaded:
                answers.append("full")
            except Retryable:
                answers.append("away")
        await admission.close()
        return answers

    return asyncio.run(go())


def test_the_queue_is_bounded_and_counts_what_is_on_its_way(local_redis: LocalRedis, store: Any) -> None:
    queue = RetryQueue(store)
    queue.ingest("f", [entry(1), entry(2)], 0.0)
    assert ask(local_redis.url, 4, "a", "b", "c", "a") == ["yes", "yes", "full", "yes"]
    queue.ingest("g", [entry(9, entry_id="a")], 0.0)
    assert ask(local_redis.url, 4, "c") == ["full"], "it arrived, and counts on"
    assert ask(local_redis.url, 4, "c", now=100.0 + 901.0) == ["yes"], "leave that was never used lapses"


def test_without_redis_nobody_gets_leave_and_the_queue_outlives_a_kill(
    local_redis: LocalRedis, store: Any, state: Path
) -> None:
    hand_over(state, "job-1-a", [entry(1, 0.0)])
    pump = Pump(store, state, now=lambda: 0.0)
    RetryQueue(store).ingest("job-1-b", [entry(2, 5.0)], 0.0)
    local_redis.kill()
    assert ask(local_redis.url, 9, "a") == ["away"]
    with pytest.raises((redis.exceptions.RedisError, OSError)):
        pump.step()
    assert len(folders.handed_files(state)) == 1
    local_redis.start()
    pump.step()
    assert (came_back(state), RetryQueue(store).pending(RUN)) == (["M1"], 1)


def test_replay_and_drop_are_idempotent_and_touch_only_what_waits(store: Any, state: Path) -> None:
    queue = RetryQueue(store)
    entries = [entry(1, 1000.0), entry(2, 1000.0, biz="search"), entry(3, 0.0)]
    queue.ingest("f", entries, 0.0)
    gone = queue.claim(RUN, 1.0, 10)
    assert isinstance(gone, Batch)
    chosen = list(queue.entries(lambda each: each.biz == "feed"))
    assert {each.entry_id for each in chosen} == {"e1", "e3"}
    assert [queue.replay(chosen, 5.0), queue.replay(chosen, 6.0)] == [1, 0], "e3 is on its way already"
    assert queue.drop([entries[1]], "by anna: spam", 5.0) == 1
    assert queue.drop(list(queue.entries(lambda each: each.biz == "search")), "again", 6.0) == 0
    batch = queue.claim(RUN, 5.0, 10)
    assert batch is not None
    assert {each.entry_id: each.dropped for each in batch.entries} == {
        "e1": "",
        "e2": "by anna: spam; last error: ServerGone: nobody listens",
    }
    queue.acknowledge(batch)
    assert [queue.replay(chosen, 7.0), queue.drop([msgspec.structs.replace(entries[1], dropped="")], "x", 7.0)] == [
        0,
        0,
    ]
    assert queue.size() == 1


def test_a_plugin_that_nothing_waits_for_is_told_with_those_that_something_waits_for(
    local_redis: LocalRedis, store: Any, state: Path
) -> None:
    parts = {"redis": PartRecord(name="redis", state="given", address=local_redis.url)}
    save(state, StackRecord(ready=True, parts=parts))

    def asked(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["retry", *arguments, "--state", str(state)], env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.output

    other = "nothing waits that failed in 'image-embeding'; what waits failed in image-embedding@1 (2), image-ocr@1 (1)"
    assert "failed in" not in asked("list", "--plugin", "image-embeding"), "an empty queue says only that"
    RetryQueue(store).ingest("a", [entry(1, 4e9), entry(2, 4e9), entry(3, 4e9, plugin="image-ocr@1")], 0.0)
    for command in ("list", "replay", "drop"):
        assert other in asked(command, "--plugin", "image-embeding")
    assert RetryQueue(store).size() == 3
    assert "failed in" not in asked("list", "--plugin", "image-embedding", "--biz", "ads"), "the name is right"
    assert "3 wait" in asked("list")
