"""Who may write, over which wire: tokens and TLS of the real server process."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from certificates import Authority
from index_items import free_port, image, server, vectors

from materials.errors import Retryable, UsageError
from vector_index import tokens
from vector_index.channels import Access, open_channel
from vector_index.client import AsyncIndexClient, IndexClient
from vector_index.proto import index_pb2 as pb
from vector_index.proto import index_pb2_grpc
from vector_index.service import IndexService

V = vectors(20, dim=64)


class Guarded:
    """A running server and its folder."""

    def __init__(self, state: Path, port: int) -> None:
        self.state, self.address = state, f"127.0.0.1:{port}"
        self.token_file = state / tokens.FILE_NAME


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    state, port = tmp_path_factory.mktemp("guarded"), free_port()
    with server(state, port), IndexClient(f"127.0.0.1:{port}") as client:
        client.stats()  # it listens
        yield Guarded(state, port)


def write(guarded: Guarded, metadata: tuple[tuple[str, str], ...]) -> grpc.RpcError | None:
    """What becomes of a write with that metadata, without our client's help."""
    with open_channel(guarded.address, Access()) as channel:
        try:
            index_pb2_grpc.VectorIndexStub(channel).Snapshot(pb.SnapshotRequest(), timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error
    return None


def test_the_first_start_makes_a_token_for_its_owner_alone(guarded: Guarded) -> None:
    assert stat.S_IMODE(guarded.token_file.stat().st_mode) == 0o600
    (token,) = tokens.read_tokens(guarded.token_file)
    assert write(guarded, tokens.bearer(token)) is None


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer sosie-index-" + "A" * 43),),
        (("authorization", "Basic c29zaWU6c29zaWU="),),
    ],
)
def test_without_it_nothing_is_written(guarded: Guarded, metadata: tuple[tuple[str, str], ...]) -> None:
    refused = write(guarded, metadata)
    assert refused is not None
    assert refused.code() == grpc.StatusCode.UNAUTHENTICATED
    secret = tokens.read_tokens(guarded.token_file)[0]
    assert secret not in str(refused)
    assert secret not in str(refused.trailing_metadata())


def test_every_call_that_writes_asks_for_it_and_no_other() -> None:
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["VectorIndex"].methods}
    assert methods == tokens.READS | tokens.WRITES
    assert not tokens.READS & tokens.WRITES


def test_a_client_on_this_machine_finds_it_by_itself(guarded: Guarded) -> None:
    with IndexClient(guarded.address) as client:
        assert client.assign([image("found-a", V[0])])[0].outcome == "unique"

    async def together() -> None:
        async with AsyncIndexClient(guarded.address) as other:
            answers = await asyncio.gather(*(other.assign([image(f"found-{i}", V[i])]) for i in range(1, 6)))
            assert {answer[0].outcome for answer in answers} == {"unique"}

    asyncio.run(together())


def test_another_services_token_is_refused_and_the_remedy_named(guarded: Guarded, tmp_path: Path) -> None:
    other = tokens.ensure_token_file(tmp_path / "other")
    with IndexClient(guarded.address, access=Access(token_file=other)) as client:
        assert client.get(["x"], "feed") == [None]
        with pytest.raises(UsageError) as caught:
            client.assign([image("stranger", V[9])])
        assert tokens.ENVIRONMENT in caught.value.remedy
        assert client.get(["stranger"], "feed") == [None]


def test_tokens_are_exchanged_without_a_restart(tmp_path: Path) -> None:
    port = free_port()
    file = tokens.ensure_token_file(tmp_path / "index" / tokens.FILE_NAME)
    old = file.read_text()
    with server(tmp_path / "index", port), IndexClient(f"127.0.0.1:{port}") as client:
        client.assign([image("a", V[0])])
        fresh = tokens.make_token()
        file.write_text(old + fresh + "\n")
        client.assign([image("b", V[1])])
        file.write_text(fresh + "\n")
        client.assign([image("c", V[2])])  # it reads the file again
        file.unlink()
        with pytest.raises(UsageError, match="cannot be read"):
            client.assign([image("d", V[3])])
        assert client.stats()["materials"] == 3
        assert client.stats()["counters"]["refused_token"] >= 2


def test_tls_with_and_without_a_certificate_of_the_client(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("server")
    own_cert, own_key = authority.issue("client")
    port, state = free_port(), tmp_path / "index"
    address = f"127.0.0.1:{port}"
    options = ["--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(authority.certificate)]
    trusted = Access(ca=authority.certificate, certificate=own_cert, key=own_key)
    with server(state, port, *options):
        with IndexClient(address, access=trusted) as client:
            assert client.assign([image("a", V[0])])[0].outcome == "unique"

        async def over_asyncio() -> None:
            async with AsyncIndexClient(address, access=trusted) as other:
                assert (await other.get(["a"], "feed"))[0] is not None

        asyncio.run(over_asyncio())
        for access in (
            Access(),
            Access(ca=authority.certificate),
            Access(ca=Authority(tmp_path / "else").certificate, certificate=own_cert, key=own_key),
        ):
            with IndexClient(address, deadline=0.7, access=access) as client, pytest.raises(Retryable):
                client.stats()


def test_tls_without_its_key_is_told_at_the_start(tmp_path: Path) -> None:
    cert, _ = Authority(tmp_path / "ca").issue("server")
    with server(tmp_path / "index", free_port(), "--tls-cert", str(cert)) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2, errors
    assert "--tls-key" in errors


def test_the_service_has_a_method_of_its_own_for_every_call_of_the_contract() -> None:
    calls = pb.DESCRIPTOR.services_by_name["VectorIndex"].methods_by_name
    generated = index_pb2_grpc.VectorIndexServicer
    assert calls
    assert [name for name in calls if getattr(IndexService, name) is getattr(generated, name)] == []
