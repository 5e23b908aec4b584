"""The simulator against queueing theory, and the aim that the balancing has, on a small scale."""

from __future__ import annotations

import random
import statistics

import pytest

from benchmarks.balancing import MEAN_S, SERVICES, Clock, Cluster, Omniscient, cluster, quantile, simulate
from model_plugins.balancing import PeakEwma, RoundRobin
from model_plugins.discovery.instances import Endpoint


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_one_server_is_an_m_m_1_queue(load: float) -> None:
    alone = Cluster((Endpoint(id="a", model="m", address="a"),), {"a": 1.0})
    seen = [
        latency
        for seed in range(4)
        for latency in simulate(RoundRobin(), alone, Clock(), load, 20_000, SERVICES["exponential"], seed)
    ]
    assert statistics.fmean(seen) == pytest.approx(MEAN_S / (1 - load), rel=0.06)
    # its latency is exponential, too: the p99 is ln(100) means
    assert quantile(sorted(seen), 0.99) == pytest.approx(4.605 * MEAN_S / (1 - load), rel=0.12)


def test_both_services_have_the_same_mean() -> None:
    lot = random.Random(1)
    for draw in SERVICES.values():
        assert statistics.fmean(draw(lot) for _ in range(100_000)) == pytest.approx(1.0, rel=0.03)


def test_the_default_strategy_reaches_its_aims() -> None:
    """On fewer calls than the benchmark has."""
    servers = cluster()
    p99: dict[tuple[str, float], float] = {}
    for load in (0.2, 0.7):
        for name in ("robin", "ours", "omniscient"):
            clock = Clock()
            balancer = {
                "robin": RoundRobin(),
                "ours": PeakEwma(clock, random.Random(1)),
                "omniscient": Omniscient(servers.slowness),
            }[name]
            p99[name, load] = quantile(simulate(balancer, servers, clock, load, 8000, SERVICES["exponential"], 1), 0.99)
    assert p99["ours", 0.2] < p99["robin", 0.2] / 3
    assert p99["ours", 0.7] < 1.3 * p99["omniscient", 0.7]
