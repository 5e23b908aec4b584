"""What `docs/plugins.md` tells an author to do is done here, as far as no stack is needed; its tables are true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from readme import ROOT, examples

from model_plugins.conformance import Limits, promises
from model_plugins.protocol import Manifest

PAGE = "docs/plugins.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
OFFLINE = ["new", "check", "test", "break", "mend"]
ONLINE = ["job", "first", "register", "drop", "back", "stop"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An author's folder."""
    return tmp_path_factory.mktemp("desk")


def run(desk: Path, name: str) -> subprocess.CompletedProcess[str]:
    """One block, in bash, as an author pastes it."""
    language, code = examples(PAGE)[name]
    assert language == "sh"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "200"}
    command = ["bash", "-euc", code]
    return subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_first_half_from_top_to_bottom(desk: Path) -> None:
    for name in OFFLINE:
        done = run(desk, name)
        assert done.returncode == (1 if name == "break" else 0), f"{name}: {done.stdout}{done.stderr}"
        if name == "check":
            assert "colour-histogram@1 keeps every promise: 23 pass, 5 n/a" in done.stdout
            assert "colour-histogram@1 keeps every promise: 23 pass, 5 n/a" in TEXT
        if name == "break":
            _, told = examples(PAGE)["broken"]
            assert told in done.stdout
    module = desk / "colour-histogram" / "colour_histogram" / "plugin.py"
    assert "LEVELS = 6" in module.read_text()
    assert len(module.read_text().splitlines()) == pytest.approx(60, abs=10), "the page says 60 lines"
    assert {path.name for path in (desk / "colour-histogram").iterdir() if path.name[0] != "."} >= {
        "README.md",
        "pyproject.toml",
        "colour_histogram",
        "tests",
    }


def test_every_block_is_run_somewhere() -> None:
    """Those of the second half need a stack: `tests/integration/pipeline/test_plugins_tutorial.py`."""
    assert set(examples(PAGE)) == {*OFFLINE, *ONLINE, "broken"}
    for name in ONLINE:
        language, code = examples(PAGE)[name]
        assert language == "sh"
        done = subprocess.run(["bash", "-nc", code], capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, done.stderr


def test_the_table_of_promises_is_the_suite() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", TEXT[TEXT.index("### The promises") :], re.MULTILINE)
    assert rows == [(promise.name, promise.promised) for promise in promises()]


def test_every_field_of_the_manifest_is_told() -> None:
    part = TEXT[TEXT.index("### The manifest") : TEXT.index("### `prepare`")]
    told = set(re.findall(r"^\| `([a-z_]+)` \|", part, re.MULTILINE))
    assert told == {field.name for field in msgspec.structs.fields(Manifest)}


def test_the_limits_are_the_defaults() -> None:
    assert f"`--seconds` ({Limits().seconds:g})" in TEXT
    assert f"`--memory-mib` ({Limits().memory_mib})" in TEXT


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines()}
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert anchor in headings, anchor
