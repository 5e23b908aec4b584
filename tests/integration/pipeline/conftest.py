"""Servers of their own for tests that need only one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from index_items import free_port, server
from local_redis import LocalRedis


@pytest.fixture(scope="module")
def local_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """A Valkey for a file's tests; each uses ids of its own."""
    running = LocalRedis(tmp_path_factory.mktemp("redis"))
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="module")
def index_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An index service for a file's tests; each uses ids of its own."""
    port = free_port()
    with server(tmp_path_factory.mktemp("index"), port):
        yield f"127.0.0.1:{port}"
