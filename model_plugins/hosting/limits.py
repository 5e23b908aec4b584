"""Where a hosted plug-in's code is, and what it may cost."""

from __future__ import annotations

import msgspec


class PluginSource(msgspec.Struct, frozen=True, kw_only=True):
    """`target`: `package.module:Class`. `path`: the folder that holds the package; empty when it is installed.
    `sha256`: of the wheel that `path` was made from, in hex; empty when there is none."""

    target: str
    path: str = ""
    sha256: str = ""


class HostLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds for one hosted plug-in. Times are seconds of the clock on the wall.

    `start_timeout_s`: until its code is loaded. `prepare_timeout_s`: one `prepare` or `prepare_encoded`;
    `interpret_timeout_s`: one `interpret` or `fuse`. Whoever exceeds one is killed.
    `memory_bytes`: address space of the child. `max_files`: its open files.
    `max_waiting`: calls that may wait for their turn; more are refused as Overloaded.
    `max_arrays`, `max_result_bytes`: of one answer.
    `restart_backoff_s`: before the second start in a row, doubling up to `max_restart_backoff_s`; the first is at once.
    `failures`: in a row, after which calls fail at once for `pause_s`, doubling up to `max_pause_s`.
    """

    start_timeout_s: float = 20.0
    prepare_timeout_s: float = 2.0
    interpret_timeout_s: float = 1.0
    memory_bytes: int = 4 * 1024**3
    max_files: int = 256
    max_waiting: int = 64
    max_arrays: int = 64
    max_result_bytes: int = 256 * 1024**2
    restart_backoff_s: float = 0.25
    max_restart_backoff_s: float = 10.0
    failures: int = 5
    pause_s: float = 2.0
    max_pause_s: float = 300.0
