"""Whatever comes over HTTP: the gateway lives, names the mistake, and nothing is written."""

from __future__ import annotations

import errno
import json
import re
import socket
from collections import Counter
from pathlib import Path

import pytest
from gateway_probes import gateway
from index_items import free_port, image, server, vectors
from local_redis import LocalRedis
from malformed_http import Request, requests

from vector_index.client import IndexClient

pytestmark = pytest.mark.fault
V = vectors(4, dim=64)
ALLOWED_5XX = {503}
"""A search needs the model servers, which are not there."""


def answer_to(address: str, request: Request) -> bytes:
    """All that comes back until the server ends the connection; we end our side of it where no answer need come."""
    host, _, port = address.rpartition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        try:
            connection.sendall(request.raw)
            if not request.whole:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server had read enough
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # it had ended the connection before we ended our side
                raise
    return received


def bombard(tmp_path: Path, seed: int, count: int) -> Counter[int]:
    port = free_port()
    index = f"127.0.0.1:{port}"
    redis = LocalRedis(tmp_path / "redis")
    redis.start()
    statuses: Counter[int] = Counter()
    try:
        with (
            server(tmp_path / "index", port),
            IndexClient(index) as client,
            gateway(tmp_path, index, redis.url) as (address, process),
        ):
            client.assign([image("A", V[0]), image("B", V[1])])
            before = client.stats()
            for request in requests(seed, count, address):
                raw, received = request.raw, answer_to(address, request)
                if not received:
                    statuses[0] += 1
                    continue
                status = int(received.split(b" ", 2)[1])
                statuses[status] += 1
                assert status < 500 or status in ALLOWED_5XX, (raw[:500], received[:500])
                check_problem(status, received, raw)
            assert process.poll() is None
            sound = answer_to(
                address, Request(f"GET /v1/materials/A HTTP/1.0\r\nHost: {address}\r\n\r\n".encode(), whole=True)
            )
            assert sound.startswith(b"HTTP/1.1 200")
            after = client.stats()
            for key in ("materials", "content_ids", "sequence", "spaces"):
                assert after[key] == before[key]
            assert client.get(["A", "B"], "feed") == client.get(["A", "B"], "feed")
    finally:
        redis.kill()
    return statuses


def check_problem(status: int, received: bytes, raw: bytes) -> None:
    """A mistake that reached the application comes back as a problem document (not what is no HTTP at all)."""
    head, _, body = received.partition(b"\r\n\r\n")
    if status < 400 or b"application/problem+json" not in head or not body or raw.startswith(b"HEAD"):
        return
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    problem = json.loads(body[: int(length[1])])  # what follows is no HTTP, and answered for itself
    assert problem["status"] == status
    assert problem["type"].startswith("urn:sosie:problem:")
    if status == 422:
        assert problem["errors"] or problem["remedy"]


def test_some_hundred_malformed_requests(tmp_path: Path) -> None:
    statuses = bombard(tmp_path, seed=7, count=500)
    assert statuses[400] > 50
    assert statuses[422] > 20
    assert statuses[404] > 20
    assert statuses[405] > 20


@pytest.mark.soak
def test_ten_thousand_malformed_requests(tmp_path: Path) -> None:
    assert sum(bombard(tmp_path, seed=77, count=10_000).values()) == 10_000
