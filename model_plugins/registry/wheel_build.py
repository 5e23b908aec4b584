"""From a project folder, or a finished file, to the bytes of a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from model_plugins.registry.wheels import WheelRefused

_TIMEOUT_S = 120.0
_TOLD = 600
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SOURCE_DATE_EPOCH")
_REPRODUCIBLE = "1580601600"
"""Hatchling's own default for `SOURCE_DATE_EPOCH`: the same sources give the same hash."""


def wheel_of(path: Path) -> tuple[bytes, str]:
    """A `.whl` as it is, or what hatchling builds of a project folder, and its file name.

    Raises:
        WheelRefused: there is neither, or it cannot be built.
    """
    if path.is_dir():
        return _built(path.resolve())
    if path.suffix != ".whl":
        raise WheelRefused(f"{path} is neither a project folder nor a wheel", "sosie plugin register ./my-plugin")
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise WheelRefused(f"{path} cannot be read: {error.strerror}", "name another") from error


def _built(folder: Path) -> tuple[bytes, str]:
    """Build it with hatchling, in a process of its own: build hooks are the project's code, and run with it."""
    backend = _backend(folder)
    if backend != "hatchling.build":
        raise WheelRefused(
            f"{folder / 'pyproject.toml'} is built by {backend or 'nothing'}, and only hatchling is here",
            "build the wheel yourself and register the .whl, or use hatchling",
        )
    environment = {name: value for name, value in os.environ.items() if name in _KEPT}
    environment = {"SOURCE_DATE_EPOCH": _REPRODUCIBLE} | environment
    with tempfile.TemporaryDirectory(prefix="sosie-wheel-") as out:
        command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", out]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise WheelRefused(f"building {folder} took longer than {_TIMEOUT_S:g} s", "see its build hooks") from error
        wheels = list(Path(out).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            told = done.stdout.decode(errors="replace").strip()[-_TOLD:]
            raise WheelRefused(f"{folder} cannot be built: {told}", "python -m hatchling build -t wheel")
        return wheels[0].read_bytes(), wheels[0].name


def _backend(folder: Path) -> str:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())
    except FileNotFoundError:
        raise WheelRefused(f"{folder} has no pyproject.toml", "sosie plugin new NAME makes a project") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WheelRefused(f"{folder / 'pyproject.toml'} cannot be read: {error}", "correct it") from error
    return str(project.get("build-system", {}).get("build-backend", ""))
