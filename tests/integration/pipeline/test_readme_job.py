"""The README's shell block, run as it stands in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from readme import examples

pytestmark = pytest.mark.stack


class Shell:
    """bash in a folder of its own, with the environment's commands on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOSIE_")}
        self.environment = kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, command: str) -> Any:
        return json.loads(self.run(f"{command} --json --state my/state"))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    opened = Shell(tmp_path_factory.mktemp("readme"))
    try:
        yield opened
    finally:
        opened.run("sosie down --state my/state")


def test_the_shell_block_does_what_the_readme_says(shell: Shell) -> None:
    language, block = examples()["job"]
    assert language == "sh"
    said = shell.run(block)
    assert all(name in said for name in ("P1", "P2", "P3", "P4", "rejected"))
    got = {name: kept["feed"] for name, kept in shell.ask("sosie content get P1 P2 P3 P4").items()}
    assert got["P1"]["content_id"] == got["P2"]["content_id"] != got["P3"]["content_id"]
    assert [got[name]["outcome"] for name in ("P1", "P2", "P3", "P4")].count("unique") == 2
    assert got["P4"]["outcome"] == "rejected"
    assert got["P4"]["reason"].startswith("unknown_kind: ")

    members = shell.ask(f"sosie content members {got['P1']['content_id']}")["members"]
    assert sorted(members) == ["P1", "P2"]
    again = shell.ask("sosie run my/job.yaml")
    assert again["lines"] == sum(again["outcomes"].values()) == 4
    assert {name: kept["feed"]["content_id"] for name, kept in shell.ask("sosie content get P1 P2 P3 P4").items()} == {
        name: outcome["content_id"] for name, outcome in got.items()
    }
    assert set(shell.ask("sosie down")["stopped"]) >= {"zookeeper", "redis", "index"}
