"""The local stack from the outside: bring it up, take it down, ask how it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec

from deploy.addresses import ENVIRONMENT, Addresses, FixedPorts, GivenAddresses
from deploy.given import reason_unreachable, require_reachable
from deploy.jars import maven
from deploy.java import clean_environment
from deploy.keeper import mark_of
from deploy.model_server.catalogue import parse_extras, served
from deploy.model_server.environment import ensure
from deploy.model_server.weights import ensure_model
from deploy.parts.catalogue import given_parts, parts_to_start
from deploy.parts.part import Part
from deploy.ports import is_free
from deploy.processes import alive, end, marked, wait_until
from deploy.record import PartRecord, PartStatus, StackRecord, load, log_folder, run_folder, save
from deploy.supervisor import REQUEST, Request
from materials.errors import SosieError, UsageError
from materials.redaction import without_secrets
from model_plugins.discovery.zookeeper_access import ENVIRONMENT as AUTH_FILE

POLL_SECONDS = 0.05
STOP_SECONDS = 60.0
HOPELESS_FAILURES = 3
Say = Callable[[str], None]


def up(
    state: Path,
    given: GivenAddresses | None = None,
    timeout: float = 90,
    on_event: Say | None = None,
    fixed: FixedPorts | None = None,
    extras: Collection[str] = (),
    kafka: bool = False,
) -> Addresses:
    """Bring the stack of a state folder up and wait until it is healthy. Harmless when it is up already.

    Args:
        state: the folder of all its state; made when need be.
        given: parts that run elsewhere; default: what the SOSIE_* environment variables give.
        timeout: seconds to healthy, not counting one-off set-up (the model server's environment, the weights).
        on_event: gets a line for each part that becomes healthy or fails, and for each set-up step.
        fixed: ports to use, whatever was used before.
        extras: heavy models to serve, as `parse_extras` gives them, beside those that SOSIE_MODELS names.
        kafka: whether to run a Kafka broker, too, unless one is given.

    Raises:
        UsageError: a given part is unreachable, a fixed port is taken, the folder cannot be written, an extra is
            unknown, or a stack with other addresses or fewer extras runs there already.
        SosieError: a part does not become healthy; names its log. What was started is taken down again.
    """
    given = GivenAddresses.read(os.environ) if given is None else given
    fixed = fixed or FixedPorts()
    wanted = parse_extras(",".join([os.environ.get("SOSIE_MODELS", ""), *extras]))
    say = on_event or (lambda _line: None)
    state = state.absolute().resolve()
    with _exclusive(state):
        running = load(state)
        if alive(running.supervisor):
            _refuse_other_request(state, running, given, fixed)
            _refuse_more_extras(state, running, wanted)
            _refuse_late_kafka(state, running, kafka)
            require_reachable(running.given)
            return _await_ready(state, timeout, say)
        require_reachable(given)
        parts = parts_to_start(given, kafka)
        _prepare(parts, wanted, say)
        refuse_taken_ports(running, fixed, parts)
        if not parts:
            down_locked(state)
            record = StackRecord(given=given, ready=True)
            for name, address in given_parts(given).items():
                record.parts[name] = PartRecord(name=name, state="given", address=address)
            save(state, record)
            return record.addresses()
        request = Request(given, fixed, wanted, kafka)
        (run_folder(state) / REQUEST).write_bytes(msgspec.json.encode(request))
        _start_supervisor(state)
        try:
            return _await_ready(state, timeout, say)
        except SosieError:
            down_locked(state)
            raise


def down(state: Path) -> list[str]:
    """Stop the stack in order; returns the names of the parts that ran. Cleans up after a killed supervisor too."""
    state = state.absolute().resolve()
    if not state.is_dir():
        return []
    with _exclusive(state):
        return down_locked(state)


def down_locked(state: Path) -> list[str]:
    """`down`, for who holds the folder's lock."""
    record = load(state)
    stopped = [name for name, part in record.parts.items() if alive(part.process)]
    if alive(record.supervisor) and record.supervisor:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.supervisor.pid, signal.SIGTERM)
        wait_until(lambda: not alive(record.supervisor), STOP_SECONDS)
        end([record.supervisor], 0)
    orphans = marked(mark_of(state, ""))
    order = {name: place for place, name in enumerate(reversed(record.parts))}
    for name in sorted({mark.rpartition("#")[2] for _, mark in orphans}, key=lambda each: order.get(each, -1)):
        end([process for process, mark in orphans if mark == mark_of(state, name)], 10)
        if name not in stopped:
            stopped.append(name)
    if record.parts:
        record = load(state)
        record.supervisor, record.ready = None, False
        for part in record.parts.values():
            part.process, part.detail, part.state = None, "", "stopped"
        save(state, record)
    return stopped


def status(state: Path) -> list[PartStatus]:
    """Every part, and the supervisor first; given parts are asked whether they answer. Empty: never been up here."""
    state = state.absolute().resolve()
    record = load(state)
    if not record.parts:
        return []
    stopped = record.supervisor is None
    supervised = alive(record.supervisor)
    supervisor = PartStatus(
        "supervisor",
        "stopped" if stopped else "running" if supervised else "dead",
        pid=record.supervisor.pid if record.supervisor and supervised else 0,
        detail="" if stopped or supervised else "killed; `sosie up` starts it again and takes over what still runs",
        log=str(state / "log" / "supervisor.log"),
    )
    found = [] if all(part.state == "given" for part in record.parts.values()) else [supervisor]
    for part in record.parts.values():
        found.append(_status_of(part))
    return found


def find(state: Path) -> Addresses | None:
    """The addresses of the stack that runs here, or None. A part that is just being restarted keeps its address."""
    record = load(state.absolute().resolve())
    elsewhere = bool(record.parts) and all(part.state == "given" for part in record.parts.values())
    if record.ready and (elsewhere or alive(record.supervisor)):
        return record.addresses()
    return None


def _status_of(part: PartRecord) -> PartStatus:
    state, detail = part.state, part.detail
    if state == "given":
        reason = reason_unreachable(part.name, part.address)
        if reason:
            state, detail = "dead", f"given, and unreachable: {reason}"
    elif state in ("running", "starting") and part.process is not None and not alive(part.process):
        state, detail = "dead", "ended just now"
    pid = part.process.pid if part.process and state in ("running", "starting") else 0
    silent = max(0.0, time.time() - part.silent_since) if state == "running" and part.silent_since else 0.0
    address = without_secrets(part.address)
    return PartStatus(part.name, state, address, pid, part.restarts, detail, part.log, round(silent, 1))


@contextlib.contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """One `up` or `down` at a time for a folder; another one waits its turn."""
    try:
        lock = (run_folder(state) / "up.lock").open("w")
    except OSError as error:
        raise UsageError(
            f"the state folder {state} cannot be used: {error.strerror}", "give another one with --state DIR"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse_other_request(state: Path, running: StackRecord, given: GivenAddresses, fixed: FixedPorts) -> None:
    remedy = f"run `sosie down --state {state}` first"
    for name in ENVIRONMENT:
        asked, used = getattr(given, name), getattr(running.given, name)
        if asked and asked != used:
            raise UsageError(
                f"a stack runs in this state folder already, and not with {name} at {without_secrets(asked)}", remedy
            )
    for name in FixedPorts.__struct_fields__:
        wanted, record = getattr(fixed, name), running.parts.get(name)
        if wanted and record and record.ports and wanted != next(iter(record.ports.values())):
            raise UsageError(f"{name} runs already, at {record.address} and not on port {wanted}", remedy)


def _refuse_more_extras(state: Path, running: StackRecord, wanted: tuple[str, ...]) -> None:
    missing = sorted(set(wanted) - set(running.extras))
    if missing and "triton" not in given_parts(running.given):
        raise UsageError(
            f"a stack runs in this state folder already, without {', '.join(missing)}",
            f"run `sosie down --state {state}` first",
        )


def _refuse_late_kafka(state: Path, running: StackRecord, wanted: bool) -> None:
    if wanted and not running.kafka and not running.given.kafka:
        raise UsageError(
            "a stack runs in this state folder already, without Kafka",
            f"run `sosie down --state {state}` first, then `sosie up --kafka`",
        )


def refuse_taken_ports(old: StackRecord, fixed: FixedPorts, parts: list[Part]) -> None:
    """Check the ports that a person asked for, before anything is started.

    Raises:
        UsageError: one is taken, and not by the part itself.
    """
    for part in parts:
        wanted, record = getattr(fixed, part.name, 0), old.parts.get(part.name)
        ours = record is not None and alive(record.process) and wanted in record.ports.values()
        if wanted and not ours and not is_free(wanted):
            raise UsageError(
                f"port {wanted} for {part.name} is taken by another program",
                f"give another --{part.name}-port, or none for a free one",
            )


def _prepare(parts: list[Part], extras: tuple[str, ...], say: Say) -> None:
    """One-off set-up, here and not in the daemon: it may take minutes, and a person wants to see it."""
    if any(part.name == "triton" for part in parts):
        ensure(say=say, extras=extras)
        for model in served(extras):
            if model.has_file:
                ensure_model(model.name, say=say)
    if any(part.name == "kafka" for part in parts):
        maven.ensure("broker", say=say)


def _start_supervisor(state: Path) -> None:
    passed = {
        name: os.environ[name]
        for name in os.environ
        if name in ("SOSIE_CACHE", "SOSIE_MAVEN", "SOSIE_MODEL_ENV", "SOSIE_MODEL_SERVER")
    }
    if credentials := os.environ.get(AUTH_FILE):
        passed[AUTH_FILE] = str(Path(credentials).resolve())  # the supervisor works in another folder
    started = subprocess.run(
        [sys.executable, "-P", "-m", "deploy.supervisor", "--state", str(state)],
        env=clean_environment(passed),
        cwd=log_folder(state),
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode:
        raise SosieError(
            f"the supervisor could not be started: {(started.stderr.strip() or 'no message').splitlines()[-1]}"
        )


def _await_ready(state: Path, timeout: float, say: Say) -> Addresses:
    """Poll the record until every part has been healthy."""
    deadline = time.monotonic() + timeout
    grace = time.monotonic() + 10
    told: set[tuple[str, str]] = set()
    while True:
        record = load(state)
        supervised = alive(record.supervisor)
        for part in record.parts.values() if supervised else ():
            news = (part.name, part.state + part.detail)
            if news not in told and part.state in ("running", "dead") and not part.silent_since:
                told.add(news)
                say(_event(part))
            if part.failures >= HOPELESS_FAILURES and not part.ready_seconds:
                raise _failure(part)
        if supervised and record.ready:
            return record.addresses()
        if not supervised and time.monotonic() > grace:
            raise SosieError(f"the supervisor ended; see {state / 'log' / 'supervisor.log'}")
        if time.monotonic() > deadline:
            late = [part for part in record.parts.values() if part.state not in ("running", "given")]
            raise _failure(late[0]) if late else SosieError(f"the stack was not healthy after {timeout:g} s")
        time.sleep(POLL_SECONDS)


def _event(part: PartRecord) -> str:
    if part.state == "running":
        return f"{part.name} is healthy at {without_secrets(part.address)} ({part.ready_seconds:g} s)"
    return f"{part.name}: {part.detail}; starting it again"


def _failure(part: PartRecord) -> SosieError:
    last = ""
    with contextlib.suppress(OSError):
        lines = Path(part.log).read_text(errors="replace").strip().splitlines()
        last = f" ({lines[-1].strip()[:200]})" if lines else ""
    return SosieError(f"{part.name} does not become healthy: {part.detail or part.state}{last}; see {part.log}")
