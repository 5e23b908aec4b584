"""`sosie jobs` on a real session cluster: stopped, resumed, rescaled and changed, one outcome each and none missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_servers import wait_until
from sosie_system import System, results, write_lines, write_spec

from deploy.flink import SessionCluster, start_session_cluster
from materials.errors import UsageError
from pipeline.job_control import control
from pipeline.job_control.control import JobListed

pytestmark = pytest.mark.stack
SUBJECTS = ("Herons", "Lighthouse keepers", "Copper prices", "Night trains", "Apple growers", "Chess players")
PLACES = ("Arles", "Santiago", "Tromso", "Kyoto", "Accra", "Perth", "Quito", "Odessa", "Leeds", "Baku")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionCluster]:
    running = start_session_cluster(tmp_path_factory.mktemp("flink"), slots=2)
    try:
        yield running
    finally:
        running.stop()


class Watched:
    """A job that watches a folder, driven by the command line."""

    def __init__(self, system: System, cluster: SessionCluster, folder: Path, name: str, **changes: Any) -> None:
        self.system, self.folder, self.name = system, folder, name
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

    def await_committed(self) -> None:
        """Until all that was sent has its outcome; then: one each."""
        wait_until(lambda: len(self.committed()) >= len(self.sent), 90, f"{len(self.sent)} outcomes")
        assert Counter(self.committed()) == Counter(self.sent)

    def change(self, **changes: Any) -> None:
        """Edit the spec's file."""
        self.spec.write_text(yaml.safe_dump(yaml.safe_load(self.spec.read_text()) | changes))


def test_stop_with_savepoint_change_the_spec_resume_and_rescale(
    system: System, cluster: SessionCluster, tmp_path: Path
) -> None:
    job = Watched(system, cluster, tmp_path, "jobs-a")
    job.drop("a", 60)
    wait_until(lambda: len(job.committed()) > 0, 60, "first outcomes")
    job.drop("b", 60)
    stopped = system.ask("jobs", "stop", "jobs-a", "--savepoint")
    assert (Path(stopped["savepoint"]) / "_metadata").is_file()
    found = job.listed()
    assert (found.state, found.restore_point) == ("STOPPED", stopped["savepoint"])
    assert found.lag == len(job.sent) - len(job.committed())
    assert Counter(job.committed()).most_common(1)[0][1] == 1
    job.drop("c", 30)  # appears while nobody reads

    job.change(plugins=["text-embedding", {"name": "text-timeliness", "need": "optional"}])
    resumed = system.ask("jobs", "resume", job.run_id)
    assert resumed["run_id"] == job.run_id
    job.await_committed()
    by_id = {result["material_id"]: result for result in results(tmp_path, "jobs-a")}
    assert any(key.startswith("text-timeliness@") for key in by_id["jobs-a-c-0"]["features"])

    system.ask("jobs", "rescale", "jobs-a", "--parallelism", "2")
    job.drop("d", 40)
    job.drop("e", 40)
    job.await_committed()
    found = job.listed()
    assert (found.state, found.parallelism, found.stays, found.lag) == ("RUNNING", 2, 3, 0)
    assert found.on_cluster is not None
    assert found.on_cluster.checkpoint is not None

    control.cancel(system.state, "jobs-a")
    assert job.listed().state == "CANCELED"
    job.drop("f", 20)
    system.ask("jobs", "resume", "jobs-a", "--parallelism", "1")
    job.await_committed()
    with pytest.raises(UsageError, match=r"runs \(RUNNING\)"):
        control.resume(system.state, "jobs-a")
    with pytest.raises(UsageError, match="needs 9 slots"):
        control.rescale(system.state, "jobs-a", 9)
    assert system.ask("jobs", "list")[-1]["state"] == "RUNNING"
    control.cancel(system.state, "jobs-a")
    with pytest.raises(UsageError, match="does not run: it is CANCELED"):
        control.stop(system.state, "jobs-a")
