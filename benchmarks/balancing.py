"""The balancing strategies side by side, in a simulator with a virtual clock.

    .venv/bin/python -m benchmarks.balancing [--seeds 10] [--calls 40000] [--service exponential|lognormal] [--picture]

100 servers, each with one queue, first come first served; every fifth needs five times as long. Calls come as a
Poisson process at 20 % and at 70 % of what all servers can carry together. The strategies are the classes that run in
production, called as the client calls them; only their clock is the simulator's. `omniscient` knows each server's
speed and sends each call where the expected work in front of it and its own is least.

The last line is JSON: `p99_ratio` (p2c-ewma / round robin at 20 %), `p99_vs_omniscient` (p2c-ewma / omniscient at
70 %), each the quotient of the medians over the seeds, `seeds`, and the medians themselves in seconds by load.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from model_plugins.balancing import Balancer, LeastOutstanding, PeakEwma, RoundRobin, Weighted
from model_plugins.discovery.instances import Endpoint

SERVERS = 100
SLOW_EVERY = 5
SLOWER = 5.0
MEAN_S = 0.05
"""Mean service time of a fast server."""
LOADS = (0.2, 0.7)
WARM_UP = 0.2
"""Share of the calls whose latency is not counted: the strategies learn, and the queues fill."""
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "balancing.svg"
OURS = "p2c-ewma"

Draw = Callable[[random.Random], float]
SERVICES: dict[str, Draw] = {
    "exponential": lambda lot: lot.expovariate(1.0),
    "lognormal": lambda lot: math.exp(lot.gauss(-0.5, 1.0)),  # mean 1, and a longer tail
}


class Clock:
    """Virtual seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Omniscient:
    """Least expected work by the true speeds: what no client can know."""

    def __init__(self, slowness: dict[str, float]) -> None:
        self._slowness = slowness
        self._outstanding: Counter[str] = Counter()

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """Looks at all."""
        left = [each for each in endpoints if each.address not in tried]
        chosen = min(left, key=lambda e: (self._outstanding[e.address] + 1) * self._slowness[e.address], default=None)
        if chosen is not None:
            self._outstanding[chosen.address] += 1
        return chosen

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002
        """One less."""
        self._outstanding[endpoint.address] -= 1

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Nothing to forget."""


class Cluster(msgspec.Struct, frozen=True):
    """The servers of a run. `slowness`: address -> mean service time in multiples of a fast one's."""

    endpoints: tuple[Endpoint, ...]
    slowness: dict[str, float]

    @property
    def per_second(self) -> float:
        """Calls that all can carry together."""
        return sum(1.0 / (MEAN_S * each) for each in self.slowness.values())


def cluster() -> Cluster:
    """One in five slow; `weight` tells the speed to whoever looks at it."""
    addresses = [f"server-{number:03d}" for number in range(SERVERS)]
    slowness = {name: SLOWER if place % SLOW_EVERY == 0 else 1.0 for place, name in enumerate(addresses)}
    endpoints = tuple(Endpoint(id=name, model="m", address=name) for name in addresses)
    return Cluster(endpoints, slowness)


def strategies(servers: Cluster, clock: Clock, lot: random.Random) -> dict[str, tuple[Balancer, Cluster]]:
    """Each with the cluster as it sees it: only `weighted` is told the speeds."""
    told = Cluster(
        tuple(msgspec.structs.replace(e, weight=1.0 / servers.slowness[e.address]) for e in servers.endpoints),
        servers.slowness,
    )
    return {
        "round-robin": (RoundRobin(), servers),
        "weighted (told the speeds)": (Weighted(), told),
        "least-outstanding": (LeastOutstanding(lot), servers),
        f"{OURS}, two choices": (PeakEwma(clock, lot, choices=2), servers),
        OURS: (PeakEwma(clock, lot), servers),
        "omniscient": (Omniscient(servers.slowness), servers),
    }


def simulate(
    balancer: Balancer, servers: Cluster, clock: Clock, load: float, calls: int, service: Draw, seed: int
) -> list[float]:
    """Latencies in seconds, sorted, of the calls after the warm-up."""
    arrivals, services = random.Random(f"{seed} arrivals"), random.Random(f"{seed} services")
    rate = load * servers.per_second
    free_at = dict.fromkeys(servers.slowness, 0.0)
    ends: list[tuple[float, int, float, Endpoint]] = []  # when, number of the call, when it came, where it is
    latencies: list[float] = []
    now = 0.0
    for number in range(calls):
        now += arrivals.expovariate(rate)
        while ends and ends[0][0] <= now:
            clock.now, _, came, endpoint = heapq.heappop(ends)
            balancer.done(endpoint, clock.now - came, None)
        clock.now = now
        chosen = balancer.pick(servers.endpoints)
        assert chosen is not None
        address = chosen.address
        end = max(now, free_at[address]) + MEAN_S * servers.slowness[address] * service(services)
        free_at[address] = end
        heapq.heappush(ends, (end, number, now, chosen))
        if number >= WARM_UP * calls:
            latencies.append(end - now)
    return sorted(latencies)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


Results = dict[float, dict[str, list[list[float]]]]
"""Load -> strategy -> sorted latencies of each seed."""


def run(seeds: int, calls: int, service: Draw) -> Results:
    """All strategies, seeds and loads; the same arrivals and the same luck for each strategy."""
    results: Results = {}
    for load in LOADS:
        for seed in range(seeds):
            clock, lot = Clock(), random.Random(f"{seed} lot")
            for name in strategies(cluster(), clock, lot):
                clock = Clock()
                balancer, servers = strategies(cluster(), clock, random.Random(f"{seed} lot"))[name]
                ordered = simulate(balancer, servers, clock, load, calls, service, seed)
                results.setdefault(load, {}).setdefault(name, []).append(ordered)
    return results


def table(results: Results) -> str:
    """Markdown; milliseconds, medians over the seeds, and the range of the p99."""
    lines = [
        "| strategy | load | p50 ms | p99 ms | p99 lowest..highest | p99 / round robin | p99 / omniscient |",
        "|---|---|---|---|---|---|---|",
    ]
    for load, by_name in results.items():
        p99s = {name: [quantile(each, 0.99) for each in runs] for name, runs in by_name.items()}
        robin, best = (statistics.median(p99s[name]) for name in ("round-robin", "omniscient"))
        for name, runs in by_name.items():
            p99 = statistics.median(p99s[name])
            p50 = statistics.median(quantile(each, 0.5) for each in runs)
            span = f"{1000 * min(p99s[name]):.0f}..{1000 * max(p99s[name]):.0f}"
            lines.append(
                f"| {name} | {load:.0%} | {1000 * p50:.0f} | {1000 * p99:.0f} | {span} "
                f"| {p99 / robin:.2f} | {p99 / best:.2f} |"
            )
    return "\n".join(lines)


def draw(results: Results, path: Path) -> None:
    """Share of the calls that take longer, over the latency; all seeds together."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "sosie"
    figure, axes = pyplot.subplots(1, len(results), figsize=(9, 3.6), sharey=True)
    shares = [1 - 10 ** (-step / 20) for step in range(3, 61)]
    for axis, (load, by_name) in zip(axes, results.items(), strict=True):
        for name, runs in by_name.items():
            together = sorted(value for each in runs for value in each)
            axis.plot([1000 * quantile(together, share) for share in shares], [1 - s for s in shares], label=name)
        axis.set(xscale="log", yscale="log", title=f"load {load:.0%}", xlabel="latency, ms")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of calls above")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """Prints the table and the JSON line; draws the picture with `--picture`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=40_000, help="for each strategy, load and seed")
    parser.add_argument("--service", choices=sorted(SERVICES), default="exponential")
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE.name} for the documentation")
    options = parser.parse_args()
    results = run(options.seeds, options.calls, SERVICES[options.service])
    p99 = {
        load: {name: statistics.median(quantile(each, 0.99) for each in runs) for name, runs in by_name.items()}
        for load, by_name in results.items()
    }
    if options.picture:
        draw(results, PICTURE)
    low, high = LOADS
    figures = {
        "p99_ratio": round(p99[low][OURS] / p99[low]["round-robin"], 4),
        "p99_vs_omniscient": round(p99[high][OURS] / p99[high]["omniscient"], 4),
        "seeds": options.seeds,
        "service": options.service,
        "p99_s": {f"{load:.0%}": {name: round(value, 5) for name, value in each.items()} for load, each in p99.items()},
    }
    sys.stdout.write(f"{table(results)}\n{json.dumps(figures)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
