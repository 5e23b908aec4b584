"""The supervisor: a daemon that starts the parts of one state folder and keeps them alive.

`python -m deploy.supervisor --state DIR`, started by `deploy.stack.up`. It reads `STATE/run/request.json`, writes
`STATE/run/stack.json` and its log, and holds `STATE/run/supervisor.lock` while it lives. SIGTERM stops everything.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import random
import signal
import sys
import threading
from pathlib import Path

import msgspec
import structlog

from deploy.addresses import FixedPorts, GivenAddresses
from deploy.keeper import Keeper, mark_of
from deploy.parts.catalogue import given_parts, parts_to_start, stop_layers
from deploy.parts.part import Part, Site
from deploy.ports import choose, is_free
from deploy.processes import end, identify, marked
from deploy.record import PartRecord, StackRecord, load, log_folder, run_folder, save

log = structlog.get_logger(__name__)
LOCK = "supervisor.lock"
REQUEST = "request.json"


class Request(msgspec.Struct, frozen=True):
    """What `up` asks for. `extras`: heavy models to serve beside the light ones; `kafka`: whether to run a broker."""

    given: GivenAddresses = GivenAddresses()
    fixed: FixedPorts = FixedPorts()
    extras: tuple[str, ...] = ()
    kafka: bool = False


class Supervisor:
    """All parts of one stack.

    Args:
        state: the state folder, absolute.
        request: what runs elsewhere, and which ports are fixed.
        rng: chooses ports.
    """

    def __init__(self, state: Path, request: Request, rng: random.Random) -> None:
        self._state, self._request, self._rng = state, request, rng
        self._lock = threading.RLock()
        self._parts = parts_to_start(request.given, request.kafka)
        self.record = self._first_record(load(state))
        self._end_strangers()
        self._ports = {name: part.ports for name, part in self.record.parts.items()}
        site = Site(state, self._ports, request.given, request.extras)
        self._site = site
        self._keepers: dict[str, Keeper] = {}
        for part in self._parts:
            awaited = tuple(self._keepers[name] for name in part.after if name in self._keepers)
            self._keepers[part.name] = Keeper(
                part=part,
                site=site,
                record=self.record.parts[part.name],
                changed=self.changed,
                choose_ports=self.choose_ports,
                awaited=awaited,
            )

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then all parts are ended in order."""
        self.changed()
        for part in self._parts:
            if not self.record.parts[part.name].ports and part.roles:
                self.choose_ports(part)
        for keeper in self._keepers.values():
            keeper.start()
        stop.wait()
        for layer in stop_layers(self._parts):
            for part in layer:
                self._keepers[part.name].stopping.set()
            for part in layer:
                self._keepers[part.name].join()
        with self._lock:
            self.record.supervisor = None
            self.record.ready = False
            save(self._state, self.record)

    def changed(self) -> None:
        """Write the record."""
        with self._lock:
            keepers = getattr(self, "_keepers", {})
            self.record.ready = bool(keepers) and all(keeper.ready_once.is_set() for keeper in keepers.values())
            save(self._state, self.record)

    def choose_ports(self, part: Part) -> None:
        """Give a part ports that are free: its old ones where it can be, the fixed one where one was asked for."""
        with self._lock:
            record = self.record.parts[part.name]
            fixed = getattr(self._request.fixed, part.name, 0)
            taken = {port for ports in self._ports.values() for port in ports.values()}
            for position, role in enumerate(part.roles):
                old = record.ports.get(role, 0)
                if position == 0 and fixed:
                    record.ports[role] = fixed
                elif not old or not is_free(old):
                    record.ports[role] = choose(1, self._rng, taken)[0]
                taken.add(record.ports[role])
            record.address = part.address(self._site)

    def _first_record(self, old: StackRecord) -> StackRecord:
        asked = self._request
        record = StackRecord(
            supervisor=identify(os.getpid()), given=asked.given, extras=asked.extras, kafka=asked.kafka
        )
        logs = log_folder(self._state)
        for name, address in given_parts(self._request.given).items():
            record.parts[name] = PartRecord(name=name, state="given", address=address)
        for part in self._parts:
            before = old.parts.get(part.name, PartRecord(name=part.name, state="stopped"))
            fixed = getattr(self._request.fixed, part.name, 0)
            moved = bool(fixed) and bool(part.roles) and before.ports.get(part.roles[0]) != fixed
            record.parts[part.name] = PartRecord(
                name=part.name,
                state="starting",
                ports={role: port for role, port in before.ports.items() if role in part.roles},
                process=None if moved else before.process,
                command=before.command,
                log=str(logs / f"{part.name}.log"),
            )
        return record

    def _end_strangers(self) -> None:
        """End what a killed supervisor left behind, but for the processes that can be taken over."""
        kept = {part.process for part in self.record.parts.values() if part.process}
        strangers = [(process, mark) for process, mark in marked(mark_of(self._state, "")) if process not in kept]
        children_of_kept = {mark_of(self._state, part.name) for part in self.record.parts.values() if part.process}
        end([process for process, mark in strangers if mark not in children_of_kept], 10.0)


def daemonise(log_file: Path) -> None:
    """Leave the caller: a session of our own, no terminal, output to `log_file`. The caller's process ends here."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    with log_file.open("ab") as out, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)


def main(arguments: list[str]) -> int:
    """Run the daemon; 0 after an ordered stop, 1 when another supervisor has the folder."""
    parser = argparse.ArgumentParser(prog="python -m deploy.supervisor", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--foreground", action="store_true", help="stay attached, log to the terminal")
    options = parser.parse_args(arguments)
    state = options.state.resolve()
    run = run_folder(state)
    if not options.foreground:
        daemonise(log_folder(state) / "supervisor.log")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with (run / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another_supervisor_has_this_folder", state=str(state))
            return 1
        try:
            request = msgspec.json.decode((run / REQUEST).read_bytes(), type=Request)
        except FileNotFoundError:
            request = Request()
        log.info("supervisor_started", state=str(state), pid=os.getpid())
        Supervisor(state, request, random.Random()).run(stop)
        log.info("supervisor_stopped", state=str(state))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
