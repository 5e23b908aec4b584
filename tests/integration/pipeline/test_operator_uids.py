"""Every operator that may hold state has a name of its own, and keeps it in a job that was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sosie_system import write_job, write_spec

from deploy.jars import maven

pytestmark = pytest.mark.stack
SCRIPT = Path(__file__).parents[2] / "support" / "operator_uids.py"
KAFKA_IN: dict[str, Any] = {"kind": "kafka", "topics": ["images", "posts"]}


def uids(*specs: Path) -> list[set[str]]:
    """The uids of each job; an operator of ours without one is an error."""
    done = subprocess.run([sys.executable, SCRIPT, *specs], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for operators in found:
        unnamed = [name for name, uid in operators.items() if uid is None and "sosie_kafka_out" not in name]
        assert not unnamed, "an operator whose state would be lost in a changed job"
        named = [uid for uid in operators.values() if uid]
        assert len(named) == len(set(named))
    return [{uid for uid in operators.values() if uid} for operators in found]


def test_a_changed_job_finds_the_state_of_each_operator(tmp_path: Path) -> None:
    maven.ensure("connector")
    before = write_job(tmp_path, [{"material_id": "a"}], name="a", plugins=["text-embedding"])
    source = {"kind": "files", "path": "input/a.jsonl"}
    plugins = ["image-pdq", "text-embedding"]
    after = write_spec(tmp_path, "b", source=source, plugins=plugins, parallelism=3, threads={"capacity": 7})
    endless = write_spec(tmp_path, "k", source=KAFKA_IN, parallelism=2)
    bounded = write_spec(tmp_path, "l", source=KAFKA_IN | {"bounded": True})
    of_a, of_b, of_endless, of_bounded = uids(before, after, endless, bounded)
    assert of_a == of_b
    assert {"parse", "image", "video", "post", "ledger"} <= of_a
    assert {uid for uid in of_a if "source" in uid} >= {"files-source"}
    assert "kafka-source" in of_endless
    assert of_endless - of_bounded <= {uid for uid in of_endless if uid.startswith("kafka-source")}
