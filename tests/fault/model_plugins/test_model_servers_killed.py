"""Three real Tritons under load; each in turn is killed, stopped, slowed down: not one call fails.

How long calls take meanwhile is measured by `benchmarks/server_faults.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from benchmarks import server_faults
from benchmarks.small_servers import SmallServer

pytestmark = [pytest.mark.fault, pytest.mark.stack]


@pytest.mark.parametrize("strategy", ["p2c-ewma"])
def test_no_call_fails(tmp_path: Path, strategy: str) -> None:
    with contextlib.ExitStack() as stack:
        servers = [SmallServer(tmp_path / str(n), delay=server_faults.DELAY_S) for n in range(server_faults.SERVERS)]
        for server in servers:
            server.start()
            stack.callback(server.kill)
        for server in servers:
            server.wait_ready()
        phases = asyncio.run(server_faults.run(servers, strategy, seconds=2.0, pause=0.5, seed=1))
    whole = phases[-1]
    assert whole.failed == 0, whole.error
    assert whole.calls > 500
    assert {each.name for each in phases} > set(server_faults.EVENTS)
