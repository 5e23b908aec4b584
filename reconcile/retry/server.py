"""`python -m reconcile.retry.server --state DIR --redis URL`: the pump as a process. SIGTERM and SIGINT end it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import redis
import structlog

from reconcile.retry.pump import Pump


def main(argv: Sequence[str]) -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m reconcile.retry.server", description="The sosie retry pump.")
    parser.add_argument("--state", type=Path, required=True, help="the system's folder")
    parser.add_argument("--redis", required=True, metavar="URL", help="redis://HOST:PORT/0")
    options = parser.parse_args(argv)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    connection = connect(options.redis)
    try:
        Pump(connection, options.state).run(stop)
    finally:
        connection.close()
    return 0


def connect(url: str) -> redis.Redis:
    """A connection that gives up instead of hanging."""
    return redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=2.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
