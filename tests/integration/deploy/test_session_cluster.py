"""A real Flink session cluster, started from the wheel, runs a Python job."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.flink import (
    SessionCluster,
    client_command,
    client_environment,
    find_session_cluster,
    start_session_cluster,
    stop_session_cluster,
)
from deploy.processes import marked

pytestmark = pytest.mark.stack
JOB = """
from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment

environment = StreamExecutionEnvironment.get_execution_environment()
environment.set_parallelism(2)
numbers = environment.from_collection(list(range(10)), Types.INT())
numbers.map(lambda number: f"doubled {number * 2}", Types.STRING()).print()
environment.execute("doubling")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionCluster]:
    with start_session_cluster(tmp_path_factory.mktemp("flink"), slots=2) as started:
        yield started
    assert marked(f"{started.folder}#") == []


def test_a_python_job_runs_on_it(cluster: SessionCluster, tmp_path: Path) -> None:
    assert cluster.overview()["slots-total"] == 2
    job = tmp_path / "job.py"
    job.write_text(JOB)
    done = subprocess.run(
        client_command(cluster, "run", "-py", str(job)),
        env=client_environment(cluster),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    printed = (cluster.folder / "log" / "taskmanager.out").read_text()
    assert {f"doubled {number * 2}" for number in range(10)} <= {
        line.partition("> ")[2] for line in printed.splitlines()
    }


def test_it_is_found_again_and_not_once_it_is_dead(cluster: SessionCluster, tmp_path: Path) -> None:
    assert find_session_cluster(cluster.folder) == cluster
    assert find_session_cluster(tmp_path) is None
    for process, _ in marked(f"{cluster.folder}#jobmanager"):
        os.kill(process.pid, signal.SIGKILL)
    assert find_session_cluster(cluster.folder) is None
    stop_session_cluster(cluster.folder)
    assert marked(f"{cluster.folder}#") == []
