"""Three real Tritons under steady load; one at a time is killed, stopped, slowed down.

    .venv/bin/python -m benchmarks.server_faults [--seconds 20] [--strategies p2c-ewma round-robin]

Each server runs two requests at a time of 20 ms each (slept, as if a GPU computed): 100 calls a second. Calls come as a
Poisson process at half of what two servers carry, whether earlier ones were answered or not. Events: `kill -9`, with
a restart a quarter of the event later as a supervisor would do; SIGSTOP; ten times slower. Between them the system
recovers. For each event the p99 of the calls that began from 2 s after it on stands beside the healthy p99; the first
2 s, in which calls already under way are lost and found again, beside that.

The last line is JSON: `failed`, `p99_ratio` (worst event / healthy) and `calls` of the default strategy,
`round_robin_p99_ratio`, and everything by strategy and event.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import structlog

from benchmarks.small_servers import MODEL, SmallServer
from model_plugins.balancing import DEFAULT, by_name
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory

SERVERS = 3
INSTANCES = 2
DELAY_S = 0.02
SLOWER = 10.0
DEADLINE_S = 10.0
FIRST_S = 2.0
"""After an event, the time in which latencies are looked at apart."""


class Outcome(msgspec.Struct, frozen=True):
    """One call: when it began, how long it took, and why it failed (empty: it did not)."""

    began: float
    seconds: float
    error: str = ""


class Load:
    """Calls at random times, until it is ended.

    Args:
        client: makes the calls.
        per_second: on average.
        lot: draws the times and the numbers.
    """

    def __init__(self, client: ModelClient, per_second: float, lot: random.Random) -> None:
        self.outcomes: list[Outcome] = []
        self._client = client
        self._per_second = per_second
        self._lot = lot
        self._calls: set[asyncio.Task[None]] = set()
        self._source = asyncio.create_task(self._run())

    async def end(self) -> list[Outcome]:
        """No more calls; returns when all have ended."""
        self._source.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._source
        await asyncio.gather(*self._calls)
        return self.outcomes

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._lot.expovariate(self._per_second)
            await asyncio.sleep(max(0.0, due - loop.time()))
            task = loop.create_task(self._call(self._lot.random()))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _call(self, number: float) -> None:
        loop = asyncio.get_running_loop()
        began, error = loop.time(), ""
        rows = np.full((1, 4), number, np.float32)
        try:
            answer = await self._client.infer(MODEL, 1, {"in": [rows]}, began + DEADLINE_S)
            if not np.array_equal(answer["out"], 2 * rows):
                error = "a wrong answer"
        except Exception as raised:  # counted, and told in the table
            error = repr(raised)
        self.outcomes.append(Outcome(began, loop.time() - began, error))


Strike = Callable[[SmallServer, float], Awaitable[None]]
"""Hurts a server and has healed it when it returns; it is told the seconds that the event lasts."""


async def kill(server: SmallServer, seconds: float) -> None:
    """`kill -9`; a supervisor starts it again."""
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(seconds / 4)
    server.start()
    await asyncio.sleep(3 * seconds / 4)
    await asyncio.to_thread(server.wait_ready)


async def stop(server: SmallServer, seconds: float) -> None:
    """SIGSTOP, then SIGCONT."""
    server.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        server.resume()


async def slow(server: SmallServer, seconds: float) -> None:
    """Ten times slower."""
    server.slow_down(SLOWER * DELAY_S)
    try:
        await asyncio.sleep(seconds)
    finally:
        server.slow_down(DELAY_S)


EVENTS: dict[str, Strike] = {"kill -9": kill, "SIGSTOP": stop, "ten times slower": slow}


class Phase(msgspec.Struct, frozen=True):
    """What became of the calls of one event (or of none). Milliseconds; `first_*` are of the first two seconds."""

    name: str
    calls: int
    failed: int
    p50: float
    p99: float
    first_p99: float
    first_worst: float
    error: str = ""


def phase(name: str, outcomes: Sequence[Outcome], since: float, until: float, first: float) -> Phase:
    """The calls that began in `since..until`; those before `since + first` count as the first ones."""
    inside = [each for each in outcomes if since <= each.began < until]
    early = [each.seconds for each in inside if each.began < since + first]
    later = [each.seconds for each in inside if each.began >= since + first]
    failed = [each.error for each in inside if each.error]
    return Phase(
        name=name,
        calls=len(inside),
        failed=len(failed),
        p50=quantile(later, 0.5),
        p99=quantile(later, 0.99),
        first_p99=quantile(early, 0.99),
        first_worst=max(early, default=0.0) * 1000,
        error=failed[0] if failed else "",
    )


def quantile(seconds: Sequence[float], share: float) -> float:
    """Milliseconds; 0 without a sample."""
    ordered = sorted(seconds)
    return 1000 * ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


async def run(servers: Sequence[SmallServer], strategy: str, seconds: float, pause: float, seed: int) -> list[Phase]:
    """Healthy, then each event with `pause` seconds of recovery behind it; another server each time."""
    loop = asyncio.get_running_loop()
    lot = random.Random(seed)
    directory = StaticDirectory({MODEL.name: tuple(each.grpc for each in servers)})
    client = ModelClient(directory, by_name(strategy, clock=loop.time, randomness=lot))
    two_carry = 2 * INSTANCES / DELAY_S
    load = Load(client, two_carry / 2, lot)
    try:
        await asyncio.sleep(FIRST_S)  # connections and histories
        spans = [("healthy", loop.time(), loop.time() + seconds, 0.0)]
        await asyncio.sleep(seconds)
        for place, (name, strike) in enumerate(EVENTS.items()):
            since = loop.time()
            await strike(servers[place % len(servers)], seconds)
            spans.append((name, since, since + seconds, min(FIRST_S, seconds / 2)))
            await asyncio.sleep(pause)
        since = loop.time()
        spans.append(("healthy again", since, since + seconds, 0.0))
        await asyncio.sleep(seconds)
    finally:
        outcomes = await load.end()
        await client.close()
    spans.append(("recoveries and all", 0.0, math.inf, 0.0))
    return [phase(name, outcomes, start, stop, first) for name, start, stop, first in spans]


def main() -> int:
    """Prints a table for each strategy and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each event")
    parser.add_argument("--pause", type=float, default=12.0, help="seconds of recovery")
    parser.add_argument("--strategies", nargs="+", default=[DEFAULT, "round-robin"])
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found: dict[str, list[Phase]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = [SmallServer(Path(folder) / str(n), delay=DELAY_S, instances=INSTANCES) for n in range(SERVERS)]
        for server in servers:
            stack.enter_context(server)
        for strategy in options.strategies:
            found[strategy] = asyncio.run(run(servers, strategy, options.seconds, options.pause, seed=1))
    lines = [
        "| strategy | event | calls | failed | p50 ms | p99 ms | / healthy | p99 of the first 2 s | slowest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ratios: dict[str, float] = {}
    for strategy, phases in found.items():
        healthy = phases[0].p99
        ratios[strategy] = max(each.p99 for each in phases if each.name in EVENTS) / healthy
        for each in phases:
            first = f"{each.first_p99:.0f} | {each.first_worst:.0f}" if each.name in EVENTS else " | "
            lines.append(
                f"| {strategy} | {each.name} | {each.calls} | {each.failed} | {each.p50:.0f} | {each.p99:.0f} "
                f"| {each.p99 / healthy:.2f} | {first} |"
            )
    ours = found[options.strategies[0]][-1]
    figures = {
        "failed": ours.failed,
        "p99_ratio": round(ratios[options.strategies[0]], 3),
        "calls": ours.calls,
        "round_robin_p99_ratio": round(ratios["round-robin"], 3) if "round-robin" in ratios else None,
        "phases": {strategy: [msgspec.to_builtins(each) for each in phases] for strategy, phases in found.items()},
    }
    sys.stdout.write("\n".join(lines) + f"\n{json.dumps(figures)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
