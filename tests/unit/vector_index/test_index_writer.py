"""Group commit: callers share transactions, and only their own mistakes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from index_items import image, near, plain_rankers, vectors
from msgspec.structs import replace

from materials.errors import Overloaded, Retryable, UsageError
from materials.records import AssignItem, Assignment
from vector_index.engine import Engine
from vector_index.preparation import Prepared
from vector_index.writer import Writer

V = vectors(40)


class GatedEngine(Engine):
    """Waits before each batch until the test lets it go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, plain_rankers())
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.poison = ""

    def decide(self, calls: Sequence[tuple[Sequence[AssignItem], Prepared | None]]) -> list[list[Assignment]]:
        self.entered.set()
        assert self.gate.wait(20)
        self.sizes.append(sum(len(items) for items, _ in calls))
        if any(item.material_id == self.poison for items, _ in calls for item in items):
            raise Retryable("no")
        return super().decide(calls)


@pytest.fixture
def engine(tmp_path: Path) -> GatedEngine:
    return GatedEngine(tmp_path)


def test_waiting_calls_share_a_transaction_and_keep_their_order(engine: GatedEngine) -> None:
    writer = Writer(engine, lambda _: None)
    first = writer.submit([image("first", V[0])])
    assert engine.entered.wait(20)
    calls = [writer.submit([image(f"m{i}", V[i]), image(f"n{i}", V[i])]) for i in range(1, 10)]
    engine.gate.set()
    for i, call in enumerate(calls, start=1):
        one, other = call.result(20)
        assert (one.material_id, other.material_id) == (f"m{i}", f"n{i}")
        assert one.content_id == other.content_id
    assert first.result(20)[0].outcome == "unique"
    assert engine.sizes == [1, 18]
    writer.close()
    engine.close()


def test_one_failing_call_spares_its_neighbours(engine: GatedEngine) -> None:
    engine.poison = "bad"
    writer = Writer(engine, lambda _: None)
    writer.submit([image("first", V[0])])
    assert engine.entered.wait(20)
    calls = [writer.submit([image(name, V[i])]) for i, name in enumerate(["a", "bad", "b"])]
    engine.gate.set()
    assert calls[0].result(20)[0].material_id == "a"
    assert calls[2].result(20)[0].material_id == "b"
    with pytest.raises(Retryable):
        calls[1].result(20)
    writer.close()
    engine.close()


def test_a_full_queue_pushes_back_and_a_closed_one_refuses(engine: GatedEngine) -> None:
    writer = Writer(engine, lambda _: None, max_pending=4)
    held = writer.submit([image("held", V[0])])
    assert engine.entered.wait(20)
    waiting = writer.submit([image(f"m{i}", V[i]) for i in range(4)])
    with pytest.raises(Overloaded, match="4 items wait"):
        writer.submit([image("more", V[5])])
    with pytest.raises(UsageError):
        writer.submit([image("", V[5])])
    engine.gate.set()
    assert len(held.result(20) + waiting.result(20)) == 5
    writer.close()
    with pytest.raises(Retryable):
        writer.submit([image("late", V[6])])
    engine.close()


def test_spaces_that_fall_behind_end_the_writer_but_not_the_answer(tmp_path: Path) -> None:
    class Failing(Engine):
        def _publish(self, removed, added):  # type: ignore[no-untyped-def]
            raise MemoryError

    engine = Failing(tmp_path, plain_rankers())
    reasons: list[str] = []
    ended = threading.Event()

    def broken(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    writer = Writer(engine, broken)
    assert writer.submit([image("a", V[0])]).result(20)[0].outcome == "unique"
    assert ended.wait(20)
    assert "must be restarted" in reasons[0]
    with pytest.raises(Retryable):
        engine.assign([image("b", V[1])])
    writer.close()
    engine.close()
    mended = Engine(tmp_path, plain_rankers())
    assert mended.assign([image("b", V[0])])[0].outcome == "duplicate"
    mended.close()


def test_what_is_decided_between_a_search_and_its_turn_is_seen(tmp_path: Path) -> None:
    """Both calls are searched before either is decided; the second holds copies of the first's materials."""
    engine = Engine(tmp_path, plain_rankers())
    engine.assign([image("first", V[0])])  # the space is known from here on
    one = [image(f"a{i}", V[i]) for i in range(1, 20)]
    other = [image(f"b{i}", near(V[i], 0.97)) for i in range(1, 20)]
    early, late = engine.prepare(one), engine.prepare(other)
    assert early is not None
    assert late is not None
    (first,) = engine.decide([(one, early)])
    engine.forgo(early)
    (second,) = engine.decide([(other, late)])
    engine.forgo(late)
    assert [answer.content_id for answer in first] == [answer.content_id for answer in second]
    assert {answer.outcome for answer in second} == {"duplicate"}
    assert engine.stats().spaces["image-embedding@1"] == 39
    engine.close()


def test_calls_of_one_transaction_see_each_other(tmp_path: Path) -> None:
    engine = Engine(tmp_path, plain_rankers())
    engine.assign([image("first", V[0])])
    calls = [[image(f"{name}{i}", near(V[i], 0.97, seed=ord(name))) for i in range(1, 20)] for name in "abc"]
    answers = engine.decide([(items, engine.prepare(items)) for items in calls])
    assert len({answer.content_id for call in answers for answer in call}) == 19
    again = engine.decide([(items, None) for items in calls])
    assert [[replace(answer, replayed=False) for answer in call] for call in again] == answers
    engine.close()


def test_concurrent_copies_get_one_content_id(tmp_path: Path) -> None:
    engine = Engine(tmp_path, plain_rankers())
    writer = Writer(engine, lambda _: None, searchers=2)
    calls = [
        writer.submit([image(f"{copy}-{i}", near(V[i], 0.98, seed=copy)) for i in range(20)]) for copy in range(12)
    ]
    answers = [call.result(60) for call in calls]
    for i in range(20):
        assert len({answer[i].content_id for answer in answers}) == 1
    writer.close()
    stored = engine.get([answer.material_id for call in answers for answer in call], "feed")
    assert stored == [answer for call in answers for answer in call]
    engine.close()
