"""One real stack for all job tests of a session; each test uses ids of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from deploy import stack
from deploy.addresses import Addresses

PLUGINS = ["image-embedding", "image-pdq", "image-local", "video-embedding", "text-embedding"]


class System(msgspec.Struct, frozen=True):
    """A running stack and the command line that talks to it."""

    state: Path
    addresses: Addresses

    def sosie(self, *arguments: object, code: int = 0) -> str:
        """Standard output of a command that must end with `code`."""
        return sosie(*arguments, "--state", self.state, code=code).stdout

    def run(self, spec: Path, code: int = 0) -> dict[str, Any]:
        """The run's summary."""
        summary: dict[str, Any] = json.loads(self.sosie("run", spec, "--json", code=code))
        return summary


def sosie(*arguments: object, code: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would."""
    command = [sys.executable, "-m", "pipeline.cli.main", *map(str, arguments)]
    import os

    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=240, check=False
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def write_job(folder: Path, records: list[Any], name: str = "job", **changes: Any) -> Path:
    """A spec and its input; a `str` or `bytes` record is written as it is."""
    (folder / "input").mkdir(parents=True, exist_ok=True)
    with (folder / "input" / f"{name}.jsonl").open("wb") as file:
        for record in records:
            line = record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()
            file.write(line + b"\n")
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


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """ZooKeeper, Valkey, Triton, announcer and index service, on free ports."""
    state = tmp_path_factory.mktemp("system")
    addresses = stack.up(state)
    try:
        yield System(state, addresses)
    finally:
        stack.down(state)
