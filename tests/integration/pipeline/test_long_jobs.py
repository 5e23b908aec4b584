"""One job on a real session cluster with high availability: stopped, changed, resumed, rescaled, cancelled, and its
TaskManager and JobManager killed under it. One outcome each, none missing, throughout.

The tests follow one another: each goes on with the job that the one before it left. The longer ones are for
`make soak`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_servers import wait_until
from sosie_system import System, results, write_lines, write_spec

from deploy.flink import SessionCluster, main_process, start_session_cluster
from deploy.processes import alive, marked
from materials.errors import SosieError, UsageError
from pipeline.job_control import control
from pipeline.job_control.control import JobListed
from pipeline.job_control.rest import FlinkRest

pytestmark = [pytest.mark.stack, pytest.mark.soak]
SUBJECTS = ("Herons", "Lighthouse keepers", "Copper prices", "Night trains", "Apple growers", "Chess players")
PLACES = ("Arles", "Santiago", "Tromso", "Kyoto", "Accra", "Perth", "Quito", "Odessa", "Leeds", "Baku")


@pytest.fixture(scope="module")
def cluster(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionCluster]:
    """With one TaskManager, which its watch has to start again; spare ones are the fault matrix's."""
    folder = tmp_path_factory.mktemp("flink")
    with start_session_cluster(folder, slots=2, zookeeper=system.addresses.zookeeper, watched=True) as running:
        yield running
    assert marked(f"{folder}#") == []


class Watched:
    """A job that watches a folder, driven by the command line."""

    def __init__(self, system: System, cluster: SessionCluster, folder: Path, name: str, **changes: Any) -> None:
        self.system, self.cluster, self.folder, self.name = system, cluster, folder, name
        (folder / "input").mkdir()
        self.sent: list[str] = []
        source = {"kind": "files", "path": "input", "watch": True}
        changes = {"plugins": ["text-embedding"], "checkpoints": {"interval_s": 0.5, "min_pause_s": 0.1}} | changes
        self.spec = write_spec(folder, name, source=source, **changes)
        self.run_id = system.ask("submit", self.spec, "--cluster", cluster.rest_url)["run_id"]

    def drop(self, file: str, count: int) -> None:
        """A file of posts, each of its own."""
        ids = [f"{self.name}-{file}-{number}" for number in range(count)]
        records = [
            {
                "material_id": name,
                "kind": "post",
                "text": f"{SUBJECTS[number % 6]} of {PLACES[number % 10]}, note {number * 7919} in {name}.",
            }
            for number, name in enumerate(ids)
        ]
        write_lines(self.folder / "input" / f"{file}.jsonl", records)
        self.sent += ids

    def committed(self) -> list[str]:
        """The materials with an outcome in the sink, as often as they have one."""
        return [result["material_id"] for result in results(self.folder, self.name)]

    def listed(self) -> JobListed:
        """Its line of `sosie jobs list`."""
        [found] = [job for job in control.list_jobs(self.system.state) if job.run_id == self.run_id]
        return found

    def state(self) -> str | None:
        """As its cluster says; None while that does not answer."""
        try:
            return FlinkRest(self.cluster.rest_url).state(self.listed().job_id)
        except SosieError:
            return None

    def workers(self, task_manager: str) -> list[int]:
        """Pids of a TaskManager's Python workers."""
        mark = f"{self.cluster.folder}#{task_manager}"
        main = main_process(self.cluster.folder, task_manager)
        return [process.pid for process, found in marked(mark) if found == mark and process != main]

    def await_committed(self) -> None:
        """Until all that was sent has its outcome; then: one each."""
        wait_until(lambda: len(self.committed()) >= len(self.sent), 180, f"{len(self.sent)} outcomes")
        assert Counter(self.committed()) == Counter(self.sent)

    def change(self, **changes: Any) -> None:
        """Edit the spec's file."""
        self.spec.write_text(yaml.safe_dump(yaml.safe_load(self.spec.read_text()) | changes))


@pytest.fixture(scope="module")
def job(system: System, cluster: SessionCluster, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(system, cluster, tmp_path_factory.mktemp("jobs"), "jobs-a")


def test_a_changed_spec_goes_on_from_the_savepoint_with_twice_the_parallelism(system: System, job: Watched) -> None:
    job.drop("a", 60)
    wait_until(lambda: len(job.committed()) > 0, 120, "first outcomes")
    job.drop("b", 60)
    stopped = system.ask("jobs", "stop", "jobs-a", "--savepoint")
    assert (Path(stopped["savepoint"]) / "_metadata").is_file()
    found = job.listed()
    assert (found.state, found.restore_point) == ("STOPPED", stopped["savepoint"])
    assert found.lag == len(job.sent) - len(job.committed())
    job.drop("c", 30)  # appears while nobody reads

    job.change(plugins=["text-embedding", {"name": "text-timeliness", "need": "optional"}])
    assert system.ask("jobs", "resume", job.run_id, "--parallelism", "2")["run_id"] == job.run_id
    job.drop("d", 40)
    job.await_committed()
    by_id = {result["material_id"]: result for result in results(job.folder, "jobs-a")}
    assert any(key.startswith("text-timeliness@") for key in by_id["jobs-a-c-0"]["features"])
    found = job.listed()
    assert (found.state, found.parallelism, found.stays, found.lag) == ("RUNNING", 2, 2, 0)
    assert found.on_cluster is not None
    assert found.on_cluster.checkpoint is not None


def test_what_cannot_be_is_refused_and_the_job_goes_on(system: System, job: Watched) -> None:
    with pytest.raises(UsageError, match=r"runs \(RUNNING\)"):
        control.resume(system.state, "jobs-a")
    with pytest.raises(UsageError, match="needs 9 slots"):
        control.rescale(system.state, "jobs-a", 9)
    assert system.ask("jobs", "list")[-1]["state"] == "RUNNING"


@pytest.mark.soak
def test_it_is_rescaled_in_one_step(system: System, job: Watched) -> None:
    before = job.listed()
    other = 3 - before.parallelism
    system.ask("jobs", "rescale", "jobs-a", "--parallelism", other)
    job.drop("e", 40)
    job.await_committed()
    found = job.listed()
    assert (found.state, found.parallelism, found.stays) == ("RUNNING", other, before.stays + 1)


@pytest.mark.soak
def test_a_killed_task_manager_costs_nothing_and_leaves_no_orphans(job: Watched, cluster: SessionCluster) -> None:
    job.drop("f", 150)
    victims = [name for name in cluster.processes[1:] if job.workers(name)]
    mark = f"{cluster.folder}#{victims[0]}"
    before = [process for process, found in marked(mark) if found == mark]
    assert len(before) > 1, "it has Python workers"
    process = main_process(cluster.folder, victims[0])
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    job.drop("g", 50)
    job.await_committed()
    wait_until(lambda: not any(map(alive, before)), 30, "its Python workers are ended")
    wait_until(lambda: cluster.overview()["slots-total"] == 2, 60, "it is started again")


@pytest.mark.soak
def test_a_killed_job_manager_goes_on_with_the_job(job: Watched, cluster: SessionCluster) -> None:
    before = job.listed()
    job.drop("h", 50)
    process = main_process(cluster.folder, "jobmanager")
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    job.drop("i", 50)
    job.await_committed()
    wait_until(lambda: job.state() == "RUNNING", 60, "it runs")
    after = job.listed()
    assert (after.job_id, after.stays) == (before.job_id, before.stays), "the cluster did it, nobody resumed it"


@pytest.mark.soak
def test_a_cancelled_job_goes_on_from_its_newest_checkpoint(system: System, job: Watched) -> None:
    job.drop("j", 40)
    wait_until(lambda: "jobs-a-j-0" in job.committed(), 120, "first outcomes")
    control.cancel(system.state, "jobs-a")
    found = job.listed()
    assert found.state == "CANCELED"
    assert Path(found.restore_point).name.startswith("chk-")
    with pytest.raises(UsageError, match="does not run: it was cancelled already"):
        control.stop(system.state, "jobs-a")
    job.drop("k", 20)
    system.ask("jobs", "resume", "jobs-a", "--parallelism", "1")
    job.await_committed()
    control.cancel(system.state, "jobs-a")
