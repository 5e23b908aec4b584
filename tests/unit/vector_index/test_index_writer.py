"""Group commit: callers share transactions, and only their own mistakes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from index_items import image, plain_rankers, vectors

from materials.errors import Overloaded, Retryable, UsageError
from materials.records import AssignItem, Assignment
from vector_index.engine import Engine
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

    def assign(self, items: Sequence[AssignItem]) -> list[Assignment]:
        self.entered.set()
        assert self.gate.wait(20)
        self.sizes.append(len(items))
        if any(item.material_id == self.poison for item in items):
            raise Retryable("no")
        return super().assign(items)


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
