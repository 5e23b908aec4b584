"""The real server process and both clients."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from index_items import free_port, image, near, post, server, vectors
from msgspec.structs import replace

from materials.errors import Permanent, Retryable, UsageError
from materials.records import Feature
from vector_index.client import AsyncIndexClient, IndexClient

V = vectors(60, dim=256)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with server(tmp_path_factory.mktemp("index"), port):
        yield f"127.0.0.1:{port}"


def test_everything_a_caller_may_ask(address: str) -> None:
    with IndexClient(address) as client:
        one, copy = client.assign([image("ask-a", V[0]), image("ask-b", V[0])])
        assert copy.content_id == one.content_id
        assert client.search(image("q", near(V[0], 0.995)), k=1)[0].material_id in {"ask-a", "ask-b"}
        assert client.get(["ask-b", "nobody"], "feed") == [copy, None]
        assert client.members(one.content_id) == ["ask-a", "ask-b"]
        assert client.resolve(one.content_id) == one.content_id
        assert client.resolve("feed-nothing") is None
        stats = client.stats()
        assert stats["spaces"]["image-embedding@1"] >= 2
        assert client.snapshot() == stats["sequence"]
        posted = client.assign([post("ask-P", V[1], [V[0]])])[0]
        assert posted.parts[0].content_id == one.content_id
        assert client.assign([]) == []


def test_mistakes_come_back_typed(address: str) -> None:
    with IndexClient(address) as client:
        with pytest.raises(UsageError) as caught:
            client.assign([replace(image("a", V[3]), policy="feet")])
        assert "did you mean 'feed'" in caught.value.remedy
        with pytest.raises(UsageError):
            client.search(image("a", V[3]), k=1000)
        with pytest.raises(UsageError):
            client.get(["x"] * 1001, "feed")
        big = {"blob@1": Feature(schema="blob", dtype="uint8", shape=(65 << 20,), data=bytes(65 << 20))}
        with pytest.raises(Permanent, match="too large"):
            client.assign([image("big", V[3], features=big)])


def test_asyncio_client_from_many_tasks(address: str) -> None:
    async def main() -> None:
        async with AsyncIndexClient(address) as client:
            calls = [client.assign([image(f"t{i}", V[10 + i]), image(f"u{i}", V[10 + i])]) for i in range(20)]
            for one, other in await asyncio.gather(*calls):
                assert one.content_id == other.content_id
            assert (await client.get(["t3"], "feed"))[0] is not None
            assert (await client.stats())["materials"] >= 40
            assert await client.members("feed-nothing") == []
            with pytest.raises(UsageError):
                await client.search(image("q", V[0]), k=0)

    asyncio.run(main())


def test_concurrent_copies_get_one_content_id(address: str) -> None:
    ids: list[str] = []

    def send(number: int) -> None:
        with IndexClient(address) as client:
            ids.append(client.assign([image(f"race{number}", near(V[50], 0.999, seed=number))])[0].content_id)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_nobody_listens() -> None:
    with IndexClient(f"127.0.0.1:{free_port()}", deadline=0.5) as client, pytest.raises(Retryable, match="sosie up"):
        client.stats()


def test_clean_end_leaves_a_snapshot_and_the_folder_is_ours_alone(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port) as process, IndexClient(f"127.0.0.1:{port}") as client:
        client.assign([image("a", V[0])])
        with server(tmp_path, free_port()) as second:
            _, errors = second.communicate(timeout=30)
            assert second.returncode == 2
            assert "another index service" in errors
        with server(tmp_path / "other", port) as second:
            _, errors = second.communicate(timeout=30)
            assert second.returncode == 2
            assert "is the port taken?" in errors
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["000000000001"]
