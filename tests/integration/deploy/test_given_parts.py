"""Stacks of which a part runs elsewhere: here, in the stack that all tests share."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import redis
from msgspec.structs import replace
from sosie_system import System

from deploy import stack
from deploy.addresses import Addresses, FixedPorts, GivenAddresses
from deploy.keeper import mark_of
from deploy.ports import choose
from deploy.processes import marked
from materials.errors import UsageError

pytestmark = pytest.mark.stack


@pytest.mark.timeout(120)
def test_two_stacks_side_by_side_one_using_parts_of_the_other(system: System, tmp_path: Path) -> None:
    there = system.addresses
    given = GivenAddresses(zookeeper=there.zookeeper, triton=there.triton, index=there.index)
    port = choose(1, random.Random(3))[0]
    here = stack.up(tmp_path, given, fixed=FixedPorts(redis=port))
    try:
        assert here == Addresses(there.zookeeper, f"redis://127.0.0.1:{port}/0", there.index, there.triton)
        assert {part.name: part.state for part in stack.status(tmp_path)} == {
            "supervisor": "running",
            "zookeeper": "given",
            "index": "given",
            "triton": "given",
            "redis": "running",
            "retry-pump": "running",
        }
        with redis.Redis.from_url(here.redis) as ours, redis.Redis.from_url(there.redis) as theirs:
            ours.set("whose", "ours")
            assert theirs.get("whose") is None
    finally:
        assert sorted(stack.down(tmp_path)) == ["redis", "retry-pump"]
    assert stack.find(system.state) == there


def test_with_everything_given_nothing_is_started(system: System, tmp_path: Path) -> None:
    there = replace(system.addresses, gateway="")
    given = GivenAddresses(there.zookeeper, there.redis, there.index, there.triton)
    assert stack.up(tmp_path, given) == there
    assert stack.find(tmp_path) == there
    assert marked(mark_of(tmp_path.resolve(), "")) == []
    assert {part.state for part in stack.status(tmp_path)} == {"given"}
    stack.down(tmp_path)
    assert stack.find(tmp_path) is None


def test_a_server_of_another_kind_is_told_from_the_one_that_was_meant(system: System, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"index at .* is unreachable \(it answers UNIMPLEMENTED\)"):
        stack.up(tmp_path, GivenAddresses(index=system.addresses.triton))
