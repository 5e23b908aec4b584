"""Health, deadlines, backpressure, paging, deletes and the batched calls of the real server process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from index_items import free_port, image, near, post, server, vectors
from msgspec.structs import replace

from materials.errors import UsageError
from vector_index.channels import Access, open_channel
from vector_index.client import IndexClient
from vector_index.gatekeeper import SERVICE
from vector_index.health import HEALTH
from vector_index.proto import index_pb2 as pb

V = vectors(40, dim=64)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with server(tmp_path_factory.mktemp("limits"), port):
        yield f"127.0.0.1:{port}"


def test_the_standard_health_protocol(address: str) -> None:
    with IndexClient(address) as client:
        client.stats()
    with open_channel(address, Access()) as channel:
        request, answer = pb.HealthRequest.SerializeToString, pb.HealthResponse.FromString
        check = channel.unary_unary(f"/{HEALTH}/Check", request_serializer=request, response_deserializer=answer)
        for service in ("", SERVICE):
            assert check(pb.HealthRequest(service=service), timeout=20).status == pb.HealthResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            check(pb.HealthRequest(service="elsewhere"), timeout=20)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watch = channel.unary_stream(f"/{HEALTH}/Watch", request_serializer=request, response_deserializer=answer)
        stream = watch(pb.HealthRequest(), timeout=20)
        assert next(stream).status == pb.HealthResponse.SERVING
        stream.cancel()


def test_watchers_are_told_of_the_end(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port) as process, IndexClient(f"127.0.0.1:{port}") as client:
        client.stats()
        with open_channel(f"127.0.0.1:{port}", Access()) as channel:
            watch = channel.unary_stream(
                f"/{HEALTH}/Watch",
                request_serializer=pb.HealthRequest.SerializeToString,
                response_deserializer=pb.HealthResponse.FromString,
            )
            stream = watch(pb.HealthRequest(), timeout=30)
            assert next(stream).status == pb.HealthResponse.SERVING
            process.terminate()
            assert next(stream).status == pb.HealthResponse.NOT_SERVING
            stream.cancel()


def test_pages_of_members_and_what_a_material_belongs_to_now(address: str) -> None:
    with IndexClient(address) as client:
        answers = client.assign([image(f"page-{i}", near(V[0], 0.998, seed=i)) for i in range(7)])
        content_id = answers[0].content_id
        seen: list[str] = []
        after = 0
        while True:
            page = client.members_page(content_id, after, limit=3)
            assert (page.content_id, page.total) == (content_id, 7)
            seen += page.material_ids
            after = page.next
            if not after:
                break
        assert seen == [f"page-{i}" for i in range(7)] == client.members(content_id)
        assert client.members_page("feed-nothing").content_id is None
        for limit in (0, 1001, -1):
            with pytest.raises(UsageError):
                client.members_page(content_id, limit=limit)
        assert client.located(["page-3", "nobody"], "feed") == [(answers[3], content_id), (None, "")]
        assert answers[3].candidates
        [(brief, _)] = client.located(["page-3"], "feed", brief=True)
        assert brief == replace(answers[3], candidates=())


def test_several_searches_in_one_call(address: str) -> None:
    with IndexClient(address) as client:
        client.assign([image("many-a", V[1]), image("many-b", V[2])])
        found = client.search_batch([image("q", V[2]), image("q", V[1])], k=1)
        assert [[one.material_id for one in each] for each in found] == [["many-b"], ["many-a"]]
        assert client.search_batch([]) == []
        with pytest.raises(UsageError, match="65 searches"):
            client.search_batch([image("q", V[1])] * 65)


def test_deletes_are_batched_and_idempotent(address: str) -> None:
    with IndexClient(address) as client:
        client.assign([image("del-a", V[3], revision=4), image("del-b", V[4]), post("del-P", V[5], [V[6]])])
        first = client.delete(["del-a", "nobody", "del-P"], "feed")
        assert [one and one.outcome for one in first] == ["deleted", None, "deleted"]
        assert [one and one.outcome for one in client.delete(["del-a"], "feed")] == ["deleted"]
        assert {one.material_id for one in client.search(image("q", V[3]))}.isdisjoint({"del-a"})
        assert client.located(["del-a", "del-P/0", "del-b"], "feed")[0][1] == ""
        assert client.located(["del-b"], "feed")[0][1]
        with pytest.raises(UsageError):
            client.delete(["del-b"], "feet")
        with pytest.raises(UsageError):
            client.delete(["x"] * 1001, "feed")
