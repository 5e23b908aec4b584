"""The index with a space in Milvus: the same decisions as with FAISS, and nothing lost when either of them dies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from index_items import IMAGE, deletion, free_port, image, near, plain_rankers, server, vectors
from local_milvus import LocalMilvus
from model_servers import wait_until

from materials.errors import Retryable, SosieError
from materials.records import AssignItem, Assignment
from vector_index.client import IndexClient
from vector_index.engine import Engine
from vector_index.recall_engines.choice import RecallChoice

V = vectors(120, seed=5)
NEVER = 10**9


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMilvus]:
    one = LocalMilvus(tmp_path_factory.mktemp("milvus"))
    try:
        yield one.start()
    finally:
        one.kill()


def engine(folder: Path, milvus: LocalMilvus | None) -> Engine:
    options = [] if milvus is None else [f"image-embedding=milvus:{milvus.uri}?seconds=5"]
    choice = RecallChoice(options, folder)
    return Engine(folder, plain_rankers(), snapshot_every=NEVER, clock=lambda: 1.0, elsewhere=choice.space_for)


def stream() -> list[list[AssignItem]]:
    """Batches with near-duplicates of earlier batches and of the same one, deletes, a replay and a new revision."""
    batches = []
    for start in range(0, 80, 8):
        batch = [image(f"m{n}", V[n]) for n in range(start, start + 8)]
        batch += [image(f"copy{n}", near(V[n], 0.97, seed=n)) for n in range(start // 2, start + 8, 5)]
        batches.append(batch)
    batches.append([deletion("m0"), deletion("m3", revision=1), image("late", near(V[3], 0.99))])
    batches.append([image("m5", V[100], revision=2), image("m1", V[1]), image("again", near(V[5], 0.99))])
    return batches


def essence(answers: list[Assignment]) -> list[tuple[str, str, str, str]]:
    return [(a.material_id, a.outcome, a.content_id, a.matched.material_id if a.matched else "") for a in answers]


def test_decisions_are_those_of_faiss(tmp_path: Path, milvus: LocalMilvus) -> None:
    faiss, elsewhere = engine(tmp_path / "faiss", None), engine(tmp_path / "milvus", milvus)
    try:
        for batch in stream():
            assert essence(elsewhere.assign(batch)) == essence(faiss.assign(batch))
        assert [one.material_id for one in elsewhere.search(image("q", near(V[40], 0.99)), 3)] == [
            one.material_id for one in faiss.search(image("q", near(V[40], 0.99)), 3)
        ]
    finally:
        faiss.close()
        elsewhere.close()


def test_a_start_from_log_and_snapshot_finds_everything(tmp_path: Path, milvus: LocalMilvus) -> None:
    first = engine(tmp_path, milvus)
    one = first.assign([image("a", V[0])])[0]
    first.snapshot()
    two = first.assign([image("b", V[1])])[0]
    first.close(take_snapshot=False)  # as after a kill: what came after the snapshot is in the log only
    second = engine(tmp_path, milvus)
    try:
        copies = second.assign([image("a2", near(V[0], 0.98)), image("b2", near(V[1], 0.98))])
        assert [copy.content_id for copy in copies] == [one.content_id, two.content_id]
    finally:
        second.close()


def test_milvus_killed_is_retryable_and_nothing_is_lost(tmp_path: Path) -> None:
    milvus = LocalMilvus(tmp_path)
    index: Engine | None = None
    try:
        milvus.start()
        index = engine(tmp_path / "index", milvus)
        before = index.assign([image(f"m{n}", V[n]) for n in range(20)])
        assert index._spaces.get(IMAGE).settle(30)
        milvus.kill()
        batch = [image("copy", near(V[7], 0.97)), image("fresh", V[50])]
        with pytest.raises(Retryable, match="Milvus at"):
            index.assign(batch)
        assert index.get(["copy", "fresh"], "feed") == [None, None]
        milvus.start()
        answers = _retried(index, batch)
        assert answers[0].content_id == before[7].content_id
        assert answers[1].outcome == "unique"
        assert _retried(index, [image("later", near(V[50], 0.98))])[0].content_id == answers[1].content_id
        assert index.broken == ""
        index.close()  # with a snapshot, which names the collection
        milvus.kill()
        with pytest.raises(Retryable, match="Milvus at"):
            engine(tmp_path / "index", milvus)
    finally:
        if index is not None:
            index.close()
        milvus.kill()


def _retried(index: Engine, batch: list[AssignItem]) -> list[Assignment]:
    """As the retry queue does."""
    until = time.monotonic() + 30
    while True:
        try:
            return index.assign(batch)
        except Retryable:
            if time.monotonic() > until:
                raise


def test_a_collection_that_somebody_dropped_is_rebuilt_from_the_log(tmp_path: Path, milvus: LocalMilvus) -> None:
    index = engine(tmp_path, milvus)
    kept = index.assign([image(f"m{n}", V[n]) for n in range(10)])
    index.snapshot()
    space = index._spaces.get(IMAGE)
    assert space.settle(30)
    milvus.engine().drop(space._names.current)
    for _ in range(2):  # the search tells it, the next write acts on it
        with pytest.raises(Retryable):
            index.assign([image("copy", near(V[4], 0.98))])
    assert "must be restarted" in index.broken
    index.close()
    again = engine(tmp_path, milvus)
    try:
        assert again.assign([image("copy", near(V[4], 0.98))])[0].content_id == kept[4].content_id
        assert again._spaces.get(IMAGE).settle(30)
        assert len(again._spaces.get(IMAGE)) == 11
    finally:
        again.close()


def test_a_space_moves_to_milvus_and_back(tmp_path: Path, milvus: LocalMilvus) -> None:
    content_ids = set()
    for round_, where in enumerate((None, milvus, None)):
        index = engine(tmp_path, where)
        try:
            content_ids.add(index.assign([image(f"m{round_}", near(V[9], 0.99, seed=round_))])[0].content_id)
            index.snapshot()
        finally:
            index.close()
    assert len(content_ids) == 1


def test_the_service_takes_the_option_and_survives_kills(tmp_path: Path, milvus: LocalMilvus) -> None:
    option = f"image-embedding=milvus:{milvus.uri}?seconds=5"
    kept: list[Assignment] = []
    for round_ in range(2):
        port = free_port()
        with server(tmp_path / "state", port, "--recall", option, "--open-writes") as process:
            with IndexClient(f"127.0.0.1:{port}") as client:
                wait_until(lambda client=client: _answers(client), 60, "the index serves")
                batch = [image(f"r{round_}-{n}", V[10 * round_ + n]) for n in range(10)]
                copies = [image(f"r{round_}-copy{n}", near(V[n], 0.98)) for n in range(10)]
                kept += client.assign(batch)
                assert [a.content_id for a in client.assign(copies)] == [a.content_id for a in kept[:10]]
            os.kill(process.pid, 9)
            process.wait()


def _answers(client: IndexClient) -> bool:
    try:
        client.stats()
    except SosieError:
        return False
    return True


def test_a_wrong_option_ends_with_a_remedy(tmp_path: Path) -> None:
    with server(tmp_path, free_port(), "--recall", "image-embedding=milvus:nowhere") as process:
        assert process.wait(60) == 2
        assert process.stderr is not None
        assert "--recall image-embedding=milvus:http://" in process.stderr.read()
