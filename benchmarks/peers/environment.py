"""Which interpreter runs an adapter: `faiss` the project's own, any other one of its own outside the tree.

The others' packages are pinned by hash in `requirements-NAME.txt` and go into `$SOSIE_PEERS` (default
`~/.cache/sosie/peers`), made at the first use. hnswlib comes as source and needs a C++ compiler.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OWN = ("faiss",)
"""Adapters that need nothing beside the project's environment."""
LOGGED = "-log"
"""`hnswlib-log` is hnswlib behind a log that is synced before an answer (`logged.py`)."""


def engines() -> tuple[str, ...]:
    """Every engine that can be named."""
    others = sorted(path.stem.removeprefix("requirements-") for path in HERE.glob("requirements-*.txt"))
    logged = sorted(path.stem.replace("_", "-") for path in HERE.glob("*_log.py"))
    return (*OWN, *others, *logged)


def python_of(engine: str) -> Path:
    """The interpreter with that engine's library.

    Raises:
        LookupError: no such engine, or its packages cannot be installed here.
    """
    if engine not in engines():
        raise LookupError(f"no environment for {engine}; known: {', '.join(engines())}")
    library = engine.removesuffix(LOGGED)
    if library in OWN:
        return Path(sys.executable)
    requirements = HERE / f"requirements-{library}.txt"
    name = f"{library}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    folder = _home() / name
    python = folder / "bin" / "python"
    if not python.exists():
        _make(folder, requirements)
    return python


def _home() -> Path:
    chosen = os.environ.get("SOSIE_PEERS")
    return Path(chosen) if chosen else Path.home() / ".cache" / "sosie" / "peers"


def _make(folder: Path, requirements: Path) -> None:
    """Beside its place, then renamed: an interrupted one is never taken for whole."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    uv = Path(sys.prefix).parent / ".tools" / "bin" / "uv"
    target = str(unfinished)
    _run(str(uv), "venv", "--quiet", "--relocatable", "--python", sys.executable, target)
    for trust in (["--system-certs"], []):
        problem = _tried(
            [str(uv), *trust, "pip", "sync", "--quiet", "--require-hashes", "--python", target, str(requirements)]
        )
        if not problem:
            unfinished.rename(folder)
            return
    shutil.rmtree(unfinished, ignore_errors=True)
    raise LookupError(f"{requirements.name} cannot be installed here: {problem}")


def _run(*command: str) -> None:
    problem = _tried(list(command))
    if problem:
        raise LookupError(problem)


def _tried(command: list[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stderr.strip()[-500:] or "no message" if done.returncode else ""
