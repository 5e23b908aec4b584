"""The watch over one process that lives, dies, and will not stay alive. Time and processes are handed in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.flink_watch import SHOW_SECONDS, Kept
from deploy.processes import ProcessId, identify


class World:
    """A process, started and killed for real; a clock that the test moves."""

    def __init__(self) -> None:
        self.now, self.cleared = 100.0, 0
        self.running: list[subprocess.Popen[bytes]] = []
        self.kept = Kept("it", find=self.find, clear=self.clear, start=self.start, clock=lambda: self.now)

    def find(self) -> ProcessId | None:
        return identify(self.running[-1].pid) if self.running else None

    def clear(self) -> int:
        self.cleared += 1
        return 0

    def start(self) -> None:
        self.running.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

    def kill(self) -> None:
        process = self.running[-1]
        process.kill()
        process.communicate()

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.kept.look()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.start()
    yield made
    for process in made.running:
        process.kill()
        process.communicate()


def test_it_takes_over_what_runs(world: World) -> None:
    world.later(0)
    world.later(1000)
    assert (len(world.running), world.cleared, world.kept.restarts) == (1, 0, 0)


def test_what_dies_is_cleared_up_after_and_started_again(world: World) -> None:
    world.later(0)
    world.kill()
    world.later(60)
    assert (world.cleared, len(world.running)) == (1, 1), "not before a short wait"
    world.later(0.2)
    assert (len(world.running), world.kept.restarts) == (2, 1)
    world.later(1)
    assert len(world.running) == 2


def test_what_keeps_dying_waits_longer_each_time(world: World) -> None:
    world.later(0)
    waits = []
    for _ in range(5):
        world.kill()
        world.later(SHOW_SECONDS)  # it is seen that it is dead
        restarts, waited = world.kept.restarts, 0.0
        while world.kept.restarts == restarts:
            waited += 0.05
            world.later(0.05)
        waits.append(waited)
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]
