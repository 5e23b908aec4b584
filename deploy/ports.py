"""Choosing TCP ports on the loopback interface."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Collection
from pathlib import Path

LOOPBACK = "127.0.0.1"
LOWEST = 10240
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. Connections that linger in TIME_WAIT do not count, as for a server."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(count: int, rng: random.Random, taken: Collection[int] = ()) -> list[int]:
    """`count` different free ports, none of `taken`, below the kernel's ephemeral range.

    A part is restarted on the same port. Were it an ephemeral one, the kernel could lend it to an outgoing connection
    meanwhile, or let a client that reconnects to it be connected to itself.
    """
    candidates = range(LOWEST, max(_first_ephemeral(), LOWEST + 4096))
    chosen: list[int] = []
    for port in rng.sample(candidates, len(candidates)):
        if len(chosen) == count:
            break
        if port not in taken and is_free(port):
            chosen.append(port)
    if len(chosen) < count:
        raise OSError(f"only {len(chosen)} free ports between {candidates.start} and {candidates.stop}")
    return chosen


def _first_ephemeral() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(EPHEMERAL_RANGE.read_text().split()[0])
    return 32768
