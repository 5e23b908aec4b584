from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from deploy.ports import EPHEMERAL_RANGE, LOOPBACK, choose, is_free


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(listener: int) -> None:
    assert not is_free(listener)


def test_a_port_taken_on_all_interfaces_is_not_free() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        assert not is_free(taken.getsockname()[1])


def test_a_port_whose_last_connection_lingers_is_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((LOOPBACK, port))
        served, _ = server.accept()
        served.close()  # the server closes first: its side stays in TIME_WAIT
        client.close()
    assert is_free(port)


def test_chosen_ports_are_different_free_and_below_the_ephemeral_range() -> None:
    ports = choose(50, random.Random(1))
    assert len(set(ports)) == 50
    assert all(is_free(port) for port in ports)
    assert max(ports) < int(EPHEMERAL_RANGE.read_text().split()[0])


def test_a_port_that_is_promised_or_taken_is_passed_over() -> None:
    first = choose(1, random.Random(7))[0]
    second = choose(1, random.Random(7), {first})[0]
    assert second != first
    with socket.create_server((LOOPBACK, second)):
        assert choose(1, random.Random(7), {first})[0] not in (first, second)
