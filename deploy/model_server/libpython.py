"""Finds the shared libpython that Triton's Python backend is linked against."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

SONAME = "libpython3.11.so.1.0"
SYSTEM_FOLDERS = (
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
)
REMEDY = (
    "Triton needs the shared library libpython3.11.so.1.0, which this Python was built without "
    "(Debian: apt install libpython3.11; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared; uv's Pythons have it); "
    "MLServer serves the models meanwhile, more slowly"
)


def candidate_folders() -> Iterator[Path]:
    """Where it may lie, the interpreter's own folders first."""
    for variable in ("LIBDIR", "LIBPL"):
        folder = sysconfig.get_config_var(variable)
        if folder:
            yield Path(folder)
    yield Path(sys.base_prefix) / "lib"
    yield Path(sys.executable).resolve().parent.parent / "lib"
    yield from map(Path, SYSTEM_FOLDERS)


def find_libpython(folders: Iterable[Path] | None = None) -> Path | None:
    """The folder that holds the library; None when there is none."""
    for folder in candidate_folders() if folders is None else folders:
        if (folder / SONAME).is_file():
            return folder
    return None
