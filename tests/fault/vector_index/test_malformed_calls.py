"""Whatever comes over the wire: the index service lives, answers as before, and stores what it acknowledged, only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grpc
import pytest
from index_items import free_port, image, server, vectors
from malformed_calls import Call, calls

from vector_index import tokens
from vector_index.channels import Access, open_channel
from vector_index.client import IndexClient
from vector_index.codec import item_to_wire
from vector_index.gatekeeper import SERVICE
from vector_index.policies import POLICIES
from vector_index.proto import index_pb2 as pb

pytestmark = pytest.mark.fault
V = vectors(20, dim=256)
ASSIGN, DELETE = f"/{SERVICE}/Assign", f"/{SERVICE}/Delete"
SOUND_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}


class Sender:
    """Sends calls and keeps what was acknowledged: live material ids, those of parts with them."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = open_channel(address, Access())
        self._token = tokens.bearer(token)
        self.live: set[str] = set()
        self.codes: Counter[grpc.StatusCode] = Counter()
        self.surprises: list[tuple[Call, str]] = []

    def send(self, call: Call) -> None:
        method = self._channel.unary_unary(call.method)
        try:
            answer = method(call.body, timeout=30, metadata=self._token if call.token else ())
        except grpc.RpcError as error:
            self.codes[error.code()] += 1
            if error.code() not in SOUND_REFUSALS:
                self.surprises.append((call, f"{error.code().name} {error.details()}"))
            return
        self.codes[grpc.StatusCode.OK] += 1
        assert call.token or call.method.rpartition("/")[2] in tokens.READS, call
        if call.method == ASSIGN:
            for one in pb.AssignResponse.FromString(answer).assignments:
                self._note(one)
        elif call.method == DELETE:
            for found in pb.DeleteResponse.FromString(answer).found:
                self._note(found.assignment)

    def _note(self, one: pb.Assignment) -> None:
        ids = {one.material_id, *(part.material_id for part in one.parts)}
        if one.outcome in ("unique", "duplicate") and not one.replayed:
            self.live |= ids
        elif one.outcome == "deleted":
            self.live = {held for held in self.live if held not in ids and not held.startswith(f"{one.material_id}/")}

    def close(self) -> None:
        self._channel.close()


def bombard(state: Path, seed: int, count: int) -> Counter[grpc.StatusCode]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    known = [image(f"known-{i}", V[i]) for i in range(5)]
    with server(state, port) as process, IndexClient(address) as client:
        before = client.assign(known)
        sender = Sender(address, tokens.read_tokens(state / tokens.FILE_NAME)[0])
        sender.live |= {item.material_id for item in known}
        for call in calls(seed, count, item_to_wire(image("fuzz", V[10]))):
            sender.send(call)
        sender.close()
        assert process.poll() is None
        assert sender.surprises == []
        stats = client.stats()
        assert stats["materials"] == len(sender.live)
        assert client.get([item.material_id for item in known], "feed") == before
        stored = sorted(sender.live)
        for start in range(0, len(stored), 500):
            page = stored[start : start + 500]
            asked = [client.get(page, policy) for policy in POLICIES]
            assert all(any(answers) for answers in zip(*asked, strict=True))
        again = client.assign([image("known-0-copy", V[0])])[0]
        assert again.content_id == client.located(["known-0"], "feed")[0][1]
        spaces = client.stats()["spaces"]
        process.terminate()
        process.communicate(timeout=60)
    with server(state, port), IndexClient(address) as client:  # the log is sound, too
        assert client.stats()["spaces"] == spaces
        assert client.stats()["materials"] == len(sender.live) + 1
    return sender.codes


def test_some_hundred_malformed_calls(tmp_path: Path) -> None:
    codes = bombard(tmp_path, seed=5, count=600)
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 100
    assert codes[grpc.StatusCode.UNAUTHENTICATED] > 10
    assert codes[grpc.StatusCode.OK] > 20


@pytest.mark.soak
def test_ten_thousand_malformed_calls(tmp_path: Path) -> None:
    assert sum(bombard(tmp_path, seed=55, count=10_000).values()) == 10_000
