"""A gateway of its own for tests, over an index and a Redis of theirs, without ZooKeeper and model server."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index_items import free_port

ROOT = Path(__file__).parents[2]


@contextmanager
def gateway(state: Path, index: str, redis: str, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(`host:port`, process) of a running gateway; it dies with the block."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "pipeline.gateway.server", "--state", str(state), "--listen", address]
    command += ["--index", index, "--redis", redis, "--zookeeper", "127.0.0.1:1", *options]
    log = state / "gateway.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stderr=errors, text=True, cwd=ROOT)
    try:
        wait_alive(address, process, log)
        yield address, process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=30)


def wait_alive(address: str, process: subprocess.Popen[str], log: Path) -> None:
    """Until it answers."""
    while process.poll() is None:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/health/live")
            connection.getresponse().read()
        except OSError:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
        finally:
            connection.close()
    raise AssertionError(f"the gateway ended with {process.returncode}: {log.read_text()}")
