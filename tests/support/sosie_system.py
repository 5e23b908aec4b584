"""A running system, the command line as a person would use it, and job specs to run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from deploy.addresses import Addresses

PLUGINS = ["image-embedding", "image-pdq", "image-local", "video-embedding", "video-local", "text-embedding"]
COMMAND = [sys.executable, "-m", "pipeline.cli.main"]


class System(msgspec.Struct, frozen=True):
    """A running stack and the command line that talks to it."""

    state: Path
    addresses: Addresses

    def sosie(self, *arguments: object, code: int = 0) -> str:
        """Standard output of a command that must end with `code`."""
        return sosie(*arguments, "--state", self.state, code=code).stdout

    def ask(self, *arguments: object, code: int = 0) -> Any:
        """What a command with `--json` says."""
        return json.loads(self.sosie(*arguments, "--json", code=code))

    def either(self, *arguments: object) -> tuple[int, str]:
        """Exit code and standard output of a command that may end either way."""
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=400, check=False
        )
        return done.returncode, done.stdout or done.stderr

    def run(self, spec: Path, code: int = 0) -> dict[str, Any]:
        """The run's summary."""
        summary: dict[str, Any] = self.ask("run", spec, code=code)
        return summary


def sosie(*arguments: object, code: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=240, check=False
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def start_sosie(*arguments: object, **how: Any) -> subprocess.Popen[Any]:
    """Start a command that SIGINT ends. Whoever runs the tests in a shell's background has told them to ignore it, and
    children inherit that."""
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([*COMMAND, *map(str, arguments)], **how)
    finally:
        signal.signal(signal.SIGINT, ignored)


def write_lines(path: Path, records: list[Any]) -> Path:
    """A stream, visible at once and whole; a `bytes` record is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in records]
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(b"".join(line + b"\n" for line in lines))
    return unfinished.rename(path)


def write_job(folder: Path, records: list[Any], name: str = "job", **changes: Any) -> Path:
    """A spec and its input."""
    write_lines(folder / "input" / f"{name}.jsonl", records)
    return write_spec(folder, name, **changes)


def write_spec(folder: Path, name: str, **changes: Any) -> Path:
    """A spec that reads `input/NAME.jsonl` and writes to `out-NAME`, but for `changes`."""
    spec = {
        "name": name,
        "source": {"kind": "files", "path": f"input/{name}.jsonl"},
        "sink": {"kind": "files", "path": f"out-{name}"},
        "plugins": PLUGINS,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec | changes))
    return path


def results(folder: Path, name: str = "job", run_id: str = "") -> list[dict[str, Any]]:
    """The committed outcomes of a job."""
    files = sorted((folder / f"out-{name}" / "results").glob(f"{run_id}*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
