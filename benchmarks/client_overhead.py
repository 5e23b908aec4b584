"""What balancing, retries and observation cost a call, beside a bare `tritonclient.grpc.aio` call.

    .venv/bin/python -m benchmarks.client_overhead [--rounds 15] [--calls 3000] [--concurrency 32]

One real tritonserver with a model that doubles eight numbers. Rounds of three kinds take turns, each `calls` calls by
`concurrency` workers: `ours` is `ModelClient` with its default strategy over three endpoints, which are three names of
that one server, so that it has a choice to make; `bare` is the official client with one `InferInput` filled per call,
as any caller with data of its own has to; `reused` is the same client sending one request object over and over, the
least that it can do.

The last line is JSON: `overhead_us` and `bare_us` (median over the rounds of wall microseconds per call; the first is
the median of the differences between neighbouring rounds), the same as CPU of this process (`cpu_overhead_us`,
`cpu_bare_us`), against `reused` (`overhead_reused_us`, `cpu_overhead_reused_us`), and `n`, the calls of each kind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import numpy as np
import tritonclient.grpc.aio as official

from benchmarks.small_servers import MODEL, SmallServer
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory

DEADLINE_S = 10.0
ROWS = np.arange(8, dtype=np.float32).reshape(1, 8)
Call = Callable[[], Awaitable[object]]


class Round(msgspec.Struct, frozen=True):
    """Microseconds per call."""

    wall: float
    cpu: float


async def timed(call: Call, calls: int, concurrency: int) -> Round:
    """`calls` calls by `concurrency` workers, each of which waits for its answer."""
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await call()

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[worker() for _ in range(concurrency)])
    return Round(1e6 * (time.perf_counter() - wall) / calls, 1e6 * (time.process_time() - cpu) / calls)


async def measure(address: str, rounds: int, calls: int, concurrency: int) -> dict[str, list[Round]]:
    """Round after round, the kinds in turn; the first round of each warms up and does not count."""
    loop = asyncio.get_running_loop()
    names = (address, f"ipv4:{address}", f"dns:///{address}")  # gRPC's ways to write it
    client = ModelClient(StaticDirectory({MODEL.name: names}))
    bare = official.InferenceServerClient(address)
    wanted = [official.InferRequestedOutput("out")]
    same = official.InferInput("in", [1, 8], "FP32")
    same.set_data_from_numpy(ROWS)

    async def call_ours() -> object:
        return (await client.infer(MODEL, 1, {"in": [ROWS]}, loop.time() + DEADLINE_S))["out"]

    async def call_bare() -> object:
        tensor = official.InferInput("in", [1, 8], "FP32")
        tensor.set_data_from_numpy(ROWS)
        answer = await bare.infer(MODEL.name, [tensor], outputs=wanted, client_timeout=DEADLINE_S)
        return answer.as_numpy("out")

    async def call_reused() -> object:
        answer = await bare.infer(MODEL.name, [same], outputs=wanted, client_timeout=DEADLINE_S)
        return answer.as_numpy("out")

    kinds: dict[str, Call] = {"ours": call_ours, "bare": call_bare, "reused": call_reused}
    found: dict[str, list[Round]] = {name: [] for name in kinds}
    try:
        for number in range(rounds + 1):
            for name, call in kinds.items():
                result = await timed(call, calls, concurrency)
                if number:
                    found[name].append(result)
    finally:
        await client.close()
        await bare.close()
    return found


def main() -> int:
    """Prints a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=3000, help="of each round")
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, SmallServer(Path(folder)) as server:
        found = asyncio.run(measure(server.grpc, options.rounds, options.calls, options.concurrency))
    lines = ["| a call | wall µs | CPU µs of the client |", "|---|---|---|"]
    for name, each in found.items():
        wall, cpu = (statistics.median(getattr(one, field) for one in each) for field in ("wall", "cpu"))
        lines.append(f"| {name} | {wall:.0f} | {cpu:.0f} |")

    def over(other: str, field: str) -> float:
        pairs = zip(found["ours"], found[other], strict=True)
        return round(float(statistics.median(getattr(a, field) - getattr(b, field) for a, b in pairs)), 1)

    figures = {
        "overhead_us": over("bare", "wall"),
        "bare_us": round(statistics.median(one.wall for one in found["bare"]), 1),
        "n": options.rounds * options.calls,
        "cpu_overhead_us": over("bare", "cpu"),
        "cpu_bare_us": round(statistics.median(one.cpu for one in found["bare"]), 1),
        "overhead_reused_us": over("reused", "wall"),
        "cpu_overhead_reused_us": over("reused", "cpu"),
        "concurrency": options.concurrency,
    }
    sys.stdout.write("\n".join(lines) + f"\n{json.dumps(figures)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
