"""`python -m pipeline.retry_part --state DIR --redis URL`: the retry pump, and the end of jobs that nobody waits for.

The pump alone is `python -m reconcile.retry.server`. SIGTERM and SIGINT end it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from deploy.addresses import ENVIRONMENT
from pipeline.finishing import Finisher
from reconcile.retry.pump import Pump
from reconcile.retry.server import connect


def main(argv: Sequence[str]) -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.retry_part", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the system's folder")
    parser.add_argument("--redis", default="", metavar="URL", help="redis://HOST:PORT/0; or $SOSIE_REDIS")
    options = parser.parse_args(argv)
    options.redis = options.redis or os.environ.get(ENVIRONMENT["redis"], "")
    if not options.redis:
        parser.error(f"no Redis: give --redis, or set ${ENVIRONMENT['redis']}")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    finisher = Finisher(options.state, options.redis)
    threading.Thread(target=finisher.run, args=(stop,), name="finisher", daemon=True).start()
    with connect(options.redis) as connection:
        Pump(connection, options.state).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
