"""What is done to the system: kills, each alone or in pairs, and what a bad network does to one server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec
from fault_matrix.bed import PROXIED, Bed

from deploy.parts.catalogue import ALL

_FLINK: dict[str, Callable[[Bed], list[str]]] = {
    "taskmanager": lambda bed: bed.cluster.kill_task_manager(),
    "jobmanager": lambda bed: bed.cluster.kill_job_manager(),
    "python-worker": lambda bed: bed.cluster.kill_workers(),
}
_PARTS = ("triton", "zookeeper", "redis", "index", "retry-pump", "kafka")
NETWORK = ("delay", "stall", "reset")
DELAY_SECONDS = 0.2
HELD_SECONDS = 6.0
PAIRS = 5


def killable(kafka: bool) -> list[str]:
    """What can be killed: Flink's processes, and the parts that the local stack has."""
    there = {part.name for part in ALL} - (set() if kafka else {"kafka"})
    return [*_FLINK, *(name for name in _PARTS if name in there)]


class Fault(msgspec.Struct, frozen=True):
    """One row of the matrix.

    `kills`: of `killable`, one after the other; `apart`: seconds between them. `network`: one of `NETWORK`, held before
    `server` for `held` seconds.
    """

    name: str
    kills: tuple[str, ...] = ()
    apart: float = 0.0
    network: str = ""
    server: str = ""
    held: float = HELD_SECONDS

    def strike(self, bed: Bed) -> list[str]:
        """Do it, hold it, heal it. Returns what was hit."""
        killed = []
        for number, name in enumerate(self.kills):
            if number:
                time.sleep(self.apart)
            killed += _FLINK[name](bed) if name in _FLINK else bed.kill_part(name)
        if self.network:
            proxy = bed.proxies[self.server]
            if self.network == "delay":
                proxy.delay(DELAY_SECONDS)
            elif self.network == "stall":
                proxy.stall()
            else:
                proxy.reset()
            time.sleep(self.held)
            proxy.heal()
            killed.append(f"{self.network} before {self.server}")
        return killed


def matrix(seed: int, kafka: bool = False) -> list[Fault]:
    """No fault at all, for comparison; each kill alone, and one of a pump that has work; five random pairs; each
    network fault before each server."""
    chance = random.Random(seed)
    names = killable(kafka)
    found = [Fault("none")]
    found += [Fault(f"kill-{name}", (name,)) for name in names]
    # Killed by itself the pump has little to lose: here the models stay away until records wait in its queue.
    found.append(Fault("kill-retry-pump-at-work", ("triton",) * 4 + ("retry-pump",), 2.5))
    pairs: set[frozenset[str]] = set()
    while len(pairs) < PAIRS:
        first, second = chance.sample(names, 2)
        if frozenset((first, second)) not in pairs:
            pairs.add(frozenset((first, second)))
            found.append(Fault(f"kill-{first}-and-{second}", (first, second), round(chance.uniform(0, 3), 2)))
    servers = (*PROXIED, "kafka") if kafka else PROXIED
    found += [Fault(f"{network}-{server}", network=network, server=server) for server in servers for network in NETWORK]
    return found
