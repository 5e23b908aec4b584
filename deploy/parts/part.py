"""What the supervisor has to know of a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.addresses import GivenAddresses
from deploy.ports import LOOPBACK


@dataclass(frozen=True)
class Site:
    """Where a stack lives: its folder, the ports of its parts (part -> role -> port), what was given, and the extras of
    its model server (`deploy.model_server.catalogue`)."""

    state: Path
    ports: Mapping[str, Mapping[str, int]]
    given: GivenAddresses = field(default_factory=GivenAddresses)
    extras: tuple[str, ...] = ()

    def port(self, part: str, role: str) -> int:
        """The port that was chosen for a role of a part."""
        return self.ports[part][role]

    def local(self, part: str, role: str) -> str:
        """`127.0.0.1:port`."""
        return f"{LOOPBACK}:{self.port(part, role)}"


@dataclass(frozen=True)
class Launch:
    """A command to run, with its whole environment and its working folder."""

    argv: list[str]
    environment: dict[str, str]
    cwd: Path


@dataclass(frozen=True)
class Part:
    """One supervised server.

    Attributes:
        roles: the ports that it listens on; the first is the one that clients use, and it may be fixed by option.
        launch: writes what the part needs into the state folder and says how to start it.
        check: returns when the part answers as it should; raises anything when it does not.
        address: what clients are told.
        after: parts that must have been healthy once before this one is started; it is stopped before them.
        start_seconds: how long it may take from start to healthy; then it is killed and started again.
        stop_seconds: from SIGTERM to SIGKILL.
        patience_seconds: how long a live process may fail its check before it counts as hung.
    """

    name: str
    roles: tuple[str, ...]
    launch: Callable[[Site], Launch]
    check: Callable[[Site], None]
    address: Callable[[Site], str]
    after: tuple[str, ...] = ()
    start_seconds: float = 60
    stop_seconds: float = 10
    patience_seconds: float = 30


class Unhealthy(Exception):
    """A part answers, but not as it should."""
