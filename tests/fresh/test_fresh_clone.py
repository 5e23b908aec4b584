"""The README's two commands on a machine that has Python 3.11, git, make and the usual small tools, and nothing else.

The commit is cloned into an empty folder, HOME is empty (no cache), PATH holds links to the tools named here: no Java,
no compiler, no Redis. Needs the package registry, about 3 GB of disk and a few minutes; times are told, not judged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.fresh, pytest.mark.timeout(1500)]
ROOT = Path(__file__).parents[2]
TOOLS = (
    *("bash", "sh", "env", "git", "make", "grep", "sed", "awk", "tar", "gzip", "which"),
    *("basename", "cat", "chmod", "cp", "cut", "date", "dirname", "echo", "expr", "false", "head", "id", "ln", "ls"),
    *("mkdir", "mktemp", "mv", "nproc", "printf", "pwd", "readlink", "realpath", "rm", "rmdir", "sleep", "sort"),
    *("stat", "tail", "test", "touch", "tr", "true", "uname", "wc"),
)
ABSENT = ("java", "gcc", "cc", "g++", "redis-server", "valkey-server", "docker", "uv", "pip")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
REGISTRY = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Passed on where they are set: such a machine reaches no registry without them."""
OUTCOMES = ("unique", "duplicate", "rejected", "dead", "deleted")


class Clone:
    """The checkout and its bare surroundings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sosie"
        self.environment = {"HOME": str(folder / "home"), "PATH": str(folder / "bin"), "LANG": "C.UTF-8"}
        self.environment |= {name: os.environ[name] for name in CERTIFICATES + REGISTRY if name in os.environ}
        (folder / "home").mkdir()
        self._link_tools(folder / "bin")
        self.run("git", "clone", "--quiet", ROOT.as_uri(), str(self.folder), cwd=folder)

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """What a command said; its time is told."""
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=1200,
        )
        sys.stdout.write(f"{' '.join(command)}: {time.monotonic() - began:.1f} s\n{done.stdout[-4000:]}\n")
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}"
        return done.stdout

    def rows(self, pattern: str) -> list[dict[str, Any]]:
        """The JSON lines of files of the demo's folder."""
        files = sorted((self.folder / "out" / "demo").glob(pattern))
        assert files, pattern
        return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]

    @staticmethod
    def _link_tools(folder: Path) -> None:
        folder.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            if found is not None:
                (folder / tool).symlink_to(found)
        # the base of this very Python (PATH's may be another one); not a link, beside which it would seek its library
        python = folder / "python3"
        python.write_text(f'#!/bin/sh\nexec "{sys.base_prefix}/bin/python3.11" "$@"\n')
        python.chmod(0o755)
        assert not [tool for tool in ABSENT if shutil.which(tool, path=str(folder))]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("fresh")
    try:
        yield Clone(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def summary(clone: Clone) -> dict[str, Any]:
    """`make demo`, and what it left."""
    clone.run("make", "demo")
    read: dict[str, Any] = json.loads((clone.folder / "out" / "demo" / "summary.json").read_text(encoding="utf-8"))
    return read


def test_make_demo_finds_the_copies(summary: dict[str, Any]) -> None:
    assert {
        "materials",
        "outcomes",
        "pair_precision",
        "pair_recall",
        "seconds",
        "stack_start_seconds",
    } <= summary.keys()
    sys.stdout.write(json.dumps(summary, indent=1) + "\n")
    assert summary["pair_precision"] >= 0.95
    assert summary["pair_recall"] >= 0.85
    assert summary["problems"] == []
    assert summary["outcomes"]["dead"] == 0


def test_every_line_has_one_outcome(clone: Clone, summary: dict[str, Any]) -> None:
    lines = [
        line
        for file in (clone.folder / "out" / "demo" / "input").rglob("*.jsonl")
        for line in file.read_bytes().splitlines()
        if line.strip()
    ]
    results = clone.rows("results/*.jsonl")
    assert summary["materials"] == len(lines) == len(results) == len({r["material_id"] for r in results})
    counted = Counter(r["outcome"] for r in results)
    assert summary["outcomes"] == {name: counted.get(name, 0) for name in OUTCOMES}


def test_planted_bad_inputs_are_rejected_with_a_reason(clone: Clone, summary: dict[str, Any]) -> None:
    results = {r["material_id"]: r for r in clone.rows("results/*.jsonl")}
    planted = {row["material_id"] for row in clone.rows("planted.jsonl")}
    assert planted == {name for name, r in results.items() if r["outcome"] == "rejected"}
    assert all(": " in results[name]["reason"] for name in planted)
    report = (clone.folder / "out" / "demo" / "report.html").read_text(encoding="utf-8")
    assert "<html" in report


def test_make_check_passes(clone: Clone, summary: dict[str, Any]) -> None:
    assert "Contracts: 1 kept, 0 broken." in clone.run("make", "check")


def test_nothing_is_left_in_the_checkout_that_git_would_see(clone: Clone, summary: dict[str, Any]) -> None:
    assert clone.run("git", "status", "--porcelain") == ""
