"""One milvus-lite for the contract tests; each check works in a collection of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from local_milvus import LocalMilvus


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMilvus]:
    """A running server."""
    server = LocalMilvus(tmp_path_factory.mktemp("milvus"))
    try:
        yield server.start()
    finally:
        server.kill()
