"""Servers that die with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model_servers import KServe, ZooKeeper


@pytest.fixture
def quorum(tmp_path: Path) -> Iterator[ZooKeeper]:
    server = ZooKeeper(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def kserve() -> Iterator[Callable[..., KServe]]:
    """Starts servers; all are stopped at the end."""
    servers: list[KServe] = []

    def start(*models: str, port: int = 0) -> KServe:
        servers.append(KServe(models or ("double",), port))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
