"""`STATE/run/stack.json`: what the supervisor knows of the stack, for the commands that ask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from deploy.addresses import Addresses, GivenAddresses
from deploy.processes import ProcessId

PartState = Literal["running", "dead", "starting", "given", "stopped"]


class PartStatus(msgspec.Struct, frozen=True):
    """One part as `sosie status` shows it, its address without secrets.

    `detail`: why it is not running, or what is wrong while it runs; `log`: its log file. `silent_s`: how long the check
    of a process that lives has failed, 0 while it is good.
    """

    name: str
    state: PartState
    address: str = ""
    pid: int = 0
    restarts: int = 0
    detail: str = ""
    log: str = ""
    silent_s: float = 0.0


class PartRecord(msgspec.Struct, kw_only=True):
    """One part in `stack.json`. `ports` are kept over stops, so that a stack comes back where it was.

    `failures`: starts in a row that did not become healthy. `silent_since`: epoch seconds of its last good answer,
    while its checks fail; 0 while they do not.
    """

    name: str
    state: PartState
    address: str = ""
    ports: dict[str, int] = {}
    process: ProcessId | None = None
    command: str = ""
    restarts: int = 0
    failures: int = 0
    ready_seconds: float = 0.0
    detail: str = ""
    log: str = ""
    silent_since: float = 0.0


class StackRecord(msgspec.Struct, kw_only=True):
    """The whole file. `ready`: every part has been healthy at least once since this supervisor started.

    `extras`: heavy models that the model server has beside the light ones. `kafka`: whether a broker was asked for.
    """

    version: int = 1
    supervisor: ProcessId | None = None
    ready: bool = False
    given: GivenAddresses = GivenAddresses()
    extras: tuple[str, ...] = ()
    kafka: bool = False
    parts: dict[str, PartRecord] = {}

    def addresses(self) -> Addresses:
        """The addresses for clients; those of parts that are not there are empty."""
        found = {name: part.address for name, part in self.parts.items()}
        return Addresses(
            zookeeper=found.get("zookeeper", ""),
            redis=found.get("redis", ""),
            index=found.get("index", ""),
            triton=found.get("triton", ""),
            gateway=found.get("gateway", ""),
            kafka=found.get("kafka", ""),
        )


def record_path(state: Path) -> Path:
    """Where the record of a state folder lies."""
    return state / "run" / "stack.json"


def run_folder(state: Path) -> Path:
    """`STATE/run`, made when need be; for its owner only, since addresses may hold passwords."""
    folder = state / "run"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def log_folder(state: Path) -> Path:
    """`STATE/log`, made when need be."""
    folder = state / "log"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load(state: Path) -> StackRecord:
    """The record; an empty one where there is none, or where it cannot be read (it is only a memory of ports)."""
    try:
        return msgspec.json.decode(record_path(state).read_bytes(), type=StackRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return StackRecord()


def save(state: Path, record: StackRecord) -> None:
    """Replace the file in one step: readers see the old record or the new one."""
    path = record_path(state)
    run_folder(state)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    os.replace(temporary, path)
