"""Announces the ready models of one model server: `python -m model_plugins.announce`. Runs beside any KServe v2 server.

Stays until SIGTERM or SIGINT, then withdraws first and ends with 0. Neither a dead server nor a dead ZooKeeper ends it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence

import structlog

from model_plugins.announcer import Announcer
from model_plugins.instances import Payload, ServiceInstance
from model_plugins.readiness import Readiness, ServerProbe, ServerView

log = structlog.get_logger(__name__)

_HURRY = 0.2
"""Seconds between two looks while nothing is announced: a start should not wait for a slow beat."""


def parse_address(text: str) -> tuple[str, int]:
    """`host:port` -> both.

    Raises:
        argparse.ArgumentTypeError: it is not that.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with 2 on wrong use."""
    parser = argparse.ArgumentParser(prog="python -m model_plugins.announce", description=__doc__)
    parser.add_argument("--triton-grpc", required=True, type=parse_address, metavar="H:P", help="its gRPC listener")
    parser.add_argument("--triton-http", type=parse_address, metavar="H:P", help="its HTTP listener, announced too")
    parser.add_argument("--zookeeper", required=True, metavar="H:P[,H:P…]")
    parser.add_argument("--advertise", metavar="HOST", help="the host that others reach it by (default: the gRPC host)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--zone", default="")
    parser.add_argument("--weight", type=float, default=1.0)
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("--session-timeout", type=float, default=10.0, metavar="SECONDS")
    return parser.parse_args(arguments)


def instances_of(view: ServerView, options: argparse.Namespace, ident: str, registered: int) -> list[ServiceInstance]:
    """One announcement for each ready model. `registered`: epoch milliseconds."""
    host, port = options.triton_grpc
    return [
        ServiceInstance(
            name=name,
            id=ident,
            address=options.advertise or host,
            port=port,
            registration_time=registered,
            payload=Payload(
                models={name: served},
                http_port=options.triton_http[1] if options.triton_http else 0,
                weight=options.weight,
                device=options.device,
                zone=options.zone,
                build=view.build,
            ),
        )
        for name, served in sorted(view.models.items())
    ]


def announce(
    probe: ServerProbe,
    announcer: Announcer,
    options: argparse.Namespace,
    stop: threading.Event,
    now: Callable[[], float] = time.time,
) -> None:
    """Look and announce until `stop` is set."""
    host, port = options.triton_grpc
    ident, registered = str(uuid.uuid4()), int(now() * 1000)
    readiness = Readiness()
    shown: ServerView | None = None
    while not stop.is_set():
        view = readiness.update(probe.look())
        if view != shown:
            log.info("server_changed", server=f"{host}:{port}", ready=view.ready, models=sorted(view.models))
            announcer.announce(instances_of(view, options, ident, registered))
            shown = view
        stop.wait(options.interval if view.models else min(_HURRY, options.interval))


def main(arguments: Sequence[str]) -> int:
    """Run until told to stop; 0."""
    options = parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    host, port = options.triton_grpc
    probe = ServerProbe(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    announcer = Announcer(options.zookeeper, timeout=options.session_timeout)
    try:
        announce(probe, announcer, options, stop)
    finally:
        announcer.close()
        probe.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
