"""The real index service as a child process on a copy of a prepared state."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from vector_index.client import IndexClient


class Service(msgspec.Struct, frozen=True):
    """A running service. `first_answer_s`: from its start."""

    address: str
    process: psutil.Process
    first_answer_s: float

    def cpu_s(self) -> float:
        """Processor seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Bytes of memory that are its own; pages of mapped files that others share are left out."""
        used = self.process.memory_full_info()
        return int(used.uss)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(state: Path, nprobe: int, margin: float, memory: int) -> Iterator[Service]:
    """The service, until the block ends; no snapshot falls into a measurement.

    Args:
        margin: see `Probe`.
        memory: bytes of 8-bit codes.
    """
    address = f"127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "vector_index.server", "--state", str(state), "--listen", address]
    command += ["--snapshot-every", str(10**9), "--nprobe", str(nprobe)]
    command += ["--cell-margin", str(margin), "--memory", str(memory >> 20)]
    root = Path(__file__).parents[2]
    # the bare loop's settings are not the service's: it chooses its own threads, as it does in production
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "OPENBLAS_"))}
    log = state.parent / "service.log"
    started = time.monotonic()
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stderr=errors, stdout=errors, cwd=root, env=env) as process,
    ):
        try:
            with IndexClient(address, deadline=300) as client:
                client.get(["nobody"], "feed")
            yield Service(address, psutil.Process(process.pid), time.monotonic() - started)
        finally:
            process.kill()
