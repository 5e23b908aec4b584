"""`docs/plugins.md` from top to bottom, as it stands: a new plug-in's feature out of a job that runs all the while."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from readme import examples

pytestmark = pytest.mark.stack
PAGE = "docs/plugins.md"
BLOCKS = examples(PAGE)
NAME = "colour-histogram"
TAKEN_UP_S = 5.0
LINE = '{{"material_id": "{0}", "kind": "image", "media": ["ramp.png"]}}\n'


class Author:
    """bash in a folder of its own; what is said goes to a file, since the job in the background holds it open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOSIE_")}
        self.environment = kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, script: str, code: int = 0) -> str:
        said = self.folder / "said.txt"
        with said.open("wb") as out:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=100,
            )
        text = said.read_text(errors="replace")
        assert done.returncode == code, f"{script}\n{text}"
        return text

    def features(self, material: str) -> dict[str, Any]:
        """Of a material that is done; empty while it is not."""
        command = ["sosie", "content", "features", material, "--state", "my/state", "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, timeout=60, check=False
        )
        found: dict[str, Any] = json.loads(done.stdout).get(material, {}) if done.stdout else {}
        return found

    def drop(self, material: str) -> dict[str, Any]:
        """Its features, once it is through."""
        folder = self.folder / "my" / "input"
        (folder / f"{material}.tmp").write_text(LINE.format(material))
        (folder / f"{material}.tmp").rename(folder / f"{material}.jsonl")
        end = time.monotonic() + 60
        while not (found := self.features(material)):
            assert time.monotonic() < end, f"{material} did not come through"
        return found

    def drop_until(self, present: bool, prefix: str) -> float:
        """Drop pictures until one has the feature, or has it no more; seconds from now to the one that decided."""
        began = time.monotonic()
        for number in range(100):
            dropped = time.monotonic()
            if (f"{NAME}@1" in self.drop(f"{prefix}{number}")) is present:
                return dropped - began
        raise AssertionError(f"{NAME} is {'absent' if present else 'present'} still")


@pytest.fixture
def author(tmp_path: Path) -> Iterator[Author]:
    made = Author(tmp_path)
    try:
        yield made
    finally:
        pid = tmp_path / "job.pid"
        if pid.exists() and psutil.pid_exists(int(pid.read_text())):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        made.run("sosie down --state my/state || true")  # it may be down already


def test_from_nothing_to_features_in_a_running_job(author: Author) -> None:
    for name in ("new", "check", "test"):
        author.run(BLOCKS[name][1])
    author.run(BLOCKS["break"][1], code=1)
    author.run(BLOCKS["mend"][1])
    author.run(BLOCKS["job"][1] + "\necho $JOB > job.pid")
    job = psutil.Process(int((author.folder / "job.pid").read_text()))

    assert "image-pdq@1" in author.run(BLOCKS["first"][1])
    assert NAME in author.run(BLOCKS["register"][1])
    author.run(BLOCKS["drop"][1])
    feature = author.features("PIC1")[f"{NAME}@1"]
    assert feature["shape"] == [6**3]
    assert feature["norm"] == pytest.approx(1, abs=1e-3)
    assert f"{NAME}@1" in author.drop("PIC2")

    disable, enable, remove = (line.split("#")[0] for line in BLOCKS["back"][1].splitlines())
    author.run(disable)
    assert author.drop_until(False, "OFF") < TAKEN_UP_S
    author.run(enable)
    assert author.drop_until(True, "ON") < TAKEN_UP_S
    author.run(remove)
    assert author.drop_until(False, "GONE") < TAKEN_UP_S
    assert NAME not in re.sub(r"\s", "", author.run("sosie plugin list --state my/state --json"))

    assert job.is_running(), "nothing was restarted"
    kill, down = BLOCKS["stop"][1].splitlines()
    author.run(kill.replace("$JOB", str(job.pid)))
    job.wait(30)
    author.run(down)
