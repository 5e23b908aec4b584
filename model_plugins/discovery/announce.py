"""Announces the ready models of one server: `sosie model announce`, or `python -m model_plugins.discovery.announce`.

Runs beside any KServe v2 server. Stays until SIGTERM or SIGINT; then it says that the server drains, waits until calls
in flight have ended, withdraws and ends with 0; a second signal cuts the waiting short. Neither a dead server nor a
dead ZooKeeper ends it; a ZooKeeper that refuses the credentials from the start does.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from materials.errors import UsageError
from model_plugins.discovery.announcer import Announcer
from model_plugins.discovery.instances import Payload, ServiceInstance, State
from model_plugins.discovery.readiness import Readiness, ServerProbe, ServerView
from model_plugins.discovery.zookeeper_access import ENVIRONMENT, Access, AccessRefused, from_environment

log = structlog.get_logger(__name__)

_HURRY = 0.2
"""Seconds between two looks while nothing is announced: a start should not wait for a slow beat."""
_PATIENCE = 10.0
"""Seconds after which somebody who waits for a first announcement is told what is missing."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to announce, and how. Addresses are (host, port); `http_port` 0 means none; times are in seconds.

    `advertise`: the host that others reach the server by; empty: the one of its gRPC address. `models`: only these;
    empty: all that are ready. `drain`: how long calls in flight are given to end before the withdrawal.
    """

    grpc: tuple[str, int]
    zookeeper: str
    http_port: int = 0
    advertise: str = ""
    device: str = "cpu"
    zone: str = ""
    weight: float = 1.0
    models: tuple[str, ...] = ()
    interval: float = 1.0
    drain: float = 5.0
    session_timeout: float = 10.0


def parse_address(text: str) -> tuple[str, int]:
    """`host:port` -> both.

    Raises:
        argparse.ArgumentTypeError: it is not that.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


class Roster:
    """The announcements of one server. A node is never rewritten: what changes gets a new id and a later time, by
    which readers know the newest entry of an address.

    Args:
        ident: the server's part of the ids.
        now: epoch seconds.
    """

    def __init__(self, options: Options, ident: str, now: Callable[[], float]) -> None:
        self._options = options
        self._ident = ident
        self._now = now
        self._last: dict[str, ServiceInstance] = {}
        self._serial = 0
        self._registered = 0

    def instances(self, view: ServerView, state: State = "ready") -> list[ServiceInstance]:
        """One announcement for each ready model."""
        options = self._options
        wanted = {
            name: Payload(
                models={name: served},
                http_port=options.http_port,
                weight=options.weight,
                device=options.device,
                zone=options.zone,
                build=view.build,
                state=state,
                fixed=True,
            )
            for name, served in sorted(view.models.items())
            if not options.models or name in options.models
        }
        self._last = {
            name: last if (last := self._last.get(name)) and last.payload == payload else self._new(name, payload)
            for name, payload in wanted.items()
        }
        return list(self._last.values())

    def _new(self, name: str, payload: Payload) -> ServiceInstance:
        host, port = self._options.grpc
        self._serial += 1
        self._registered = max(int(self._now() * 1000), self._registered + 1)
        return ServiceInstance(
            name=name,
            id=f"{self._ident}-{self._serial}",
            address=self._options.advertise or host,
            port=port,
            registration_time=self._registered,
            payload=payload,
        )


def announce(
    probe: ServerProbe,
    announcer: Announcer,
    options: Options,
    stop: threading.Event,
    hurry: threading.Event,
    now: Callable[[], float] = time.time,
) -> None:
    """Look and announce until `stop` is set, then drain, unless `hurry` is set too.

    Raises:
        AccessRefused: nothing has been announced yet, and ZooKeeper does not let us.
    """
    roster = Roster(options, str(uuid.uuid4()), now)
    readiness = Readiness()
    shown: ServerView | None = None
    stood = told = False
    began = time.monotonic()
    while not stop.is_set():
        view = readiness.update(probe.look())
        if view != shown:
            log.info("server_changed", server=options.grpc, ready=view.ready, models=sorted(view.models))
            announcer.announce(roster.instances(view))
            shown = view
        stood = stood or bool(announcer.announced())
        if not stood and (refused := announcer.refused) is not None:
            raise AccessRefused(refused.message)
        if not stood and not told and time.monotonic() - began >= _PATIENCE:
            log.warning("nothing_announced_yet", reason=_missing(view, announcer, options))
            told = True
        stop.wait(options.interval if view.models else min(_HURRY, options.interval))
    if shown is not None and shown.models and announcer.announced():
        _drain(probe, announcer, roster.instances(shown, "draining"), options, hurry)


def _missing(view: ServerView, announcer: Announcer, options: Options) -> str:
    if not announcer.connected:
        return f"ZooKeeper at {options.zookeeper} does not answer"
    host, port = options.grpc
    if not view.ready:
        return f"no server is ready at {host}:{port}"
    asked = f" of {', '.join(options.models)}" if options.models else ""
    return f"the server has no ready model{asked}; ready: {', '.join(sorted(view.models)) or 'none'}"


def _drain(
    probe: ServerProbe,
    announcer: Announcer,
    instances: Sequence[ServiceInstance],
    options: Options,
    hurry: threading.Event,
) -> None:
    """Send no new calls here; give those in flight their time, or as much of it as the server lives."""
    log.info("draining", server=options.grpc, seconds=options.drain)
    announcer.announce(instances)
    ends = time.monotonic() + options.drain
    while (left := ends - time.monotonic()) > 0 and not hurry.wait(min(left, options.interval)):
        if probe.look().refused:
            return


def run(options: Options, access: Access) -> None:
    """Announce until a signal comes; called in the main thread.

    Raises:
        AccessRefused: ZooKeeper does not let us, from the start.
    """
    stop, hurry = threading.Event(), threading.Event()

    def told(*_: object) -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    host, port = options.grpc
    probe = ServerProbe(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    announcer = Announcer(options.zookeeper, timeout=options.session_timeout, access=access)
    try:
        announce(probe, announcer, options, stop, hurry)
    finally:
        announcer.close()
        probe.close()


def parse(arguments: Sequence[str]) -> tuple[Options, Path | None]:
    """The command line -> options and the file with credentials; ends the process with 2 on wrong use."""
    parser = argparse.ArgumentParser(prog="python -m model_plugins.discovery.announce", description=__doc__)
    parser.add_argument("--triton-grpc", required=True, type=parse_address, metavar="H:P", help="its gRPC listener")
    parser.add_argument("--triton-http", type=parse_address, metavar="H:P", help="its HTTP listener, announced too")
    parser.add_argument("--zookeeper", required=True, metavar="H:P[,H:P…]")
    parser.add_argument("--zookeeper-auth-file", type=Path, metavar="FILE", help=f"user:password; or {ENVIRONMENT}")
    parser.add_argument("--advertise", default="", metavar="HOST", help="the host that others reach it by")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--zone", default="")
    parser.add_argument("--weight", type=float, default=1.0)
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("--drain", type=float, default=0.0, metavar="SECONDS", help="between draining and withdrawal")
    parser.add_argument("--session-timeout", type=float, default=10.0, metavar="SECONDS")
    given = parser.parse_args(arguments)
    options = Options(
        grpc=given.triton_grpc,
        zookeeper=given.zookeeper,
        http_port=given.triton_http[1] if given.triton_http else 0,
        advertise=given.advertise,
        device=given.device,
        zone=given.zone,
        weight=given.weight,
        interval=given.interval,
        drain=given.drain,
        session_timeout=given.session_timeout,
    )
    return options, given.zookeeper_auth_file


def main(arguments: Sequence[str]) -> int:
    """Run until told to stop; 0, or 2 when ZooKeeper refuses us."""
    options, file = parse(arguments)
    try:
        run(options, Access.find(file, {}) if file else from_environment())
    except UsageError as error:
        log.error("cannot_announce", error=error.message, remedy=error.remedy)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
