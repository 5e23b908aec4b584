"""Concurrent materials share calls to a real index service, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from index_items import fingerprint, free_port, image, near, server, vectors

from materials.errors import UsageError
from materials.records import AssignItem, Assignment
from pipeline.assigner import BatchingAssigner
from vector_index.client import IndexClient

V = vectors(120, dim=256)


def assign_together(address: str, items: Sequence[AssignItem]) -> list[Assignment | BaseException]:
    async def go() -> list[Assignment | BaseException]:
        assigner = BatchingAssigner(address)
        try:
            return await asyncio.gather(*(assigner.assign_one(item) for item in items), return_exceptions=True)
        finally:
            await assigner.close()

    return asyncio.run(go())


def test_a_hundred_at_once_take_a_few_transactions(index_address: str) -> None:
    items = [image(f"many-{i}", V[i]) for i in range(100)]
    with IndexClient(index_address) as client:
        before = client.stats()["sequence"]
        answers = assign_together(index_address, items)
        assert client.stats()["sequence"] - before <= 10
        assert answers == client.get([item.material_id for item in items], "feed")
    assert [answer.material_id for answer in answers if isinstance(answer, Assignment)] == [
        i.material_id for i in items
    ]


def test_copies_in_one_call_share_a_content_id(index_address: str) -> None:
    copies = [image(f"copy-{i}", near(V[110], 0.995, seed=i)) for i in range(8)]
    answers = assign_together(index_address, [*copies, image("other", V[111])])
    ids = [answer.content_id for answer in answers if isinstance(answer, Assignment)]
    assert len(ids) == 9
    assert len(set(ids[:8])) == 1
    assert ids[8] != ids[0]


def test_a_conflict_is_an_answer_for_its_own_material_alone(index_address: str) -> None:
    assign_together(index_address, [image("once", V[112])])
    changed, fine = assign_together(
        index_address, [image("once", V[113], fingerprint=fingerprint(b"else")), image("fine", V[114])]
    )
    assert isinstance(changed, Assignment)
    assert isinstance(fine, Assignment)
    assert changed.outcome == "rejected"
    assert changed.reason.startswith("conflicting_material: ")
    assert fine.outcome == "unique"


def test_a_policy_that_is_not_known_is_told(index_address: str) -> None:
    [refused] = assign_together(index_address, [image("nobody", V[115], policy="fead")])
    assert isinstance(refused, UsageError)
    assert "feed" in refused.remedy


def test_a_call_outlives_a_service_that_is_not_up_yet(tmp_path: Path) -> None:
    port = free_port()

    async def go() -> list[Assignment]:
        assigner = BatchingAssigner(f"127.0.0.1:{port}")
        early = [asyncio.create_task(assigner.assign_one(image(f"early-{i}", V[i]))) for i in range(3)]
        await asyncio.sleep(0)  # the calls have left, to nobody
        with server(tmp_path, port):
            answers = await asyncio.gather(*early)
        await assigner.close()
        return answers

    assert [answer.outcome for answer in asyncio.run(go())] == ["unique"] * 3
