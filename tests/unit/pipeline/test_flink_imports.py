"""Importing the operators starts no JVM: each Python worker imports them, and `prepare_gateway` must come first."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = "import pipeline.flink.graph; from pyflink import java_gateway; assert java_gateway._gateway is None"


def test_importing_the_graph_starts_no_jvm() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
