"""What all tests share: settings, and one real stack for those that do not kill its parts; each uses its own ids."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from kafka_broker import Broker
from sosie_system import System

from deploy import stack
from deploy.addresses import GivenAddresses

# Time decides no test, and a commit that passed passes again; `HYPOTHESIS_PROFILE=search` looks for new examples.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """ZooKeeper, Valkey, Triton, announcer and index service, on free ports."""
    state = tmp_path_factory.mktemp("system")
    addresses = stack.up(state, GivenAddresses())
    try:
        yield System(state, addresses)
    finally:
        stack.down(state)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Kafka broker on free ports; each test uses topics of its own."""
    running = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        yield running
    finally:
        running.stop()
