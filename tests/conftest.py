"""One real stack for all tests of a session that do not kill its parts; each test uses ids of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sosie_system import System

from deploy import stack
from deploy.addresses import GivenAddresses


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """ZooKeeper, Valkey, Triton, announcer and index service, on free ports."""
    state = tmp_path_factory.mktemp("system")
    addresses = stack.up(state, GivenAddresses())
    try:
        yield System(state, addresses)
    finally:
        stack.down(state)
