"""A watched folder: files that appear later get their outcomes, and SIGINT ends the job with all of them committed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_servers import wait_until
from sosie_system import System, results, start_sosie, write_lines, write_spec

from pipeline import lookups

pytestmark = pytest.mark.stack
PELICANS = {"material_id": "watch-1", "kind": "post", "text": "Seventeen pelicans crossed the harbour, said Ines."}
COPPER = "A quite different report about the price of copper in Santiago."


class Watching:
    """`sosie run` on a watched folder, in a process group of its own: what a terminal's Ctrl-C would reach."""

    def __init__(self, system: System, folder: Path) -> None:
        self.folder = folder
        self._system = system
        (folder / "input").mkdir()
        spec = write_spec(
            folder, "watch", source={"kind": "files", "path": "input", "watch": True}, plugins=["text-embedding"]
        )
        self.said = folder / "stdout"
        with self.said.open("wb") as out, (folder / "stderr").open("wb") as err:
            self.process = start_sosie(
                "run", spec, "--state", system.state, "--json", stdout=out, stderr=err, start_new_session=True
            )

    def drop(self, name: str, *records: Any) -> list[dict[str, Any]]:
        """Let a file appear; the outcomes that are committed thereupon."""
        known = {r["trace_id"] for r in self.committed()}
        write_lines(self.folder / "input" / f"{name}.jsonl", list(records))
        self.wait(lambda: len(self.committed()) == len(known) + len(records), f"{name} is committed")
        return [r for r in self.committed() if r["trace_id"] not in known]

    def committed(self) -> list[dict[str, Any]]:
        return results(self.folder, "watch")

    def asked(self, material_id: str) -> dict[str, Any]:
        """What `content get` would say."""
        return lookups.outcomes(self._system.addresses.redis, [material_id])[material_id]

    def wait(self, condition: Any, what: str) -> None:
        wait_until(lambda: self.process.poll() is not None or condition(), 90, what)
        assert self.process.poll() is None, (self.folder / "stderr").read_text()


@pytest.fixture(scope="module")
def watching(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
    running = Watching(system, tmp_path_factory.mktemp("watch"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()


def test_a_file_that_appears_later_is_answered_for(watching: Watching, system: System) -> None:
    watching.drop("a", {"material_id": "watch-0", "kind": "post", "text": "The first file is there before the job."})
    write_lines(watching.folder / "input" / "b.jsonl", [PELICANS])
    watching.wait(lambda: watching.asked("watch-1"), "the later file's outcome can be asked")
    got = system.ask("content", "get", "watch-1")["watch-1"]["feed"]
    watching.wait(lambda: len(watching.committed()) == 2, "b is committed")
    assert (got["outcome"], got["revision"]) == ("unique", 0)
    assert got["content_id"] in {r["content_id"] for r in watching.committed()}


def test_a_revision_replaces_and_a_delete_takes_out(watching: Watching, system: System) -> None:
    first = watching.asked("watch-1")["feed"]
    [second] = watching.drop("c", PELICANS | {"text": COPPER, "revision": 1})
    assert (second["outcome"], second["revision"]) == ("unique", 1)
    assert second["content_id"] != first["content_id"]
    [conflict] = watching.drop("d", PELICANS | {"text": "The same revision, but other words.", "revision": 1})
    assert conflict["outcome"] == "rejected"
    assert conflict["reason"].startswith("conflicting_material: ")
    assert watching.asked("watch-1")["feed"] == second, "a refusal leaves the good outcome where it was"
    assert system.ask("content", "search", "--text", COPPER)[0]["material_id"] == "watch-1"
    [gone] = watching.drop("e", {"material_id": "watch-1", "kind": "post", "op": "delete", "revision": 2})
    assert gone["outcome"] == "deleted"
    assert "watch-1" not in [c["material_id"] for c in system.ask("content", "search", "--text", COPPER)]


def test_lines_of_a_file_that_is_still_being_written_are_not_read(watching: Watching) -> None:
    half = watching.folder / "input" / "half.tmp"
    half.write_text(json.dumps(PELICANS | {"material_id": "watch-half"}) + "\n")
    watching.drop("f", PELICANS | {"material_id": "watch-2"})
    assert not watching.asked("watch-half")
    half.unlink()


def test_sigint_ends_it_with_everything_committed(watching: Watching) -> None:
    before = len(watching.committed())
    names = [f"watch-last-{i}" for i in range(40)]
    records = [{"material_id": name, "kind": "post", "text": f"{name} is a closed platform."} for name in names]
    write_lines(watching.folder / "input" / "g.jsonl", records)
    watching.wait(lambda: all(watching.asked(name) for name in names), "the last file is understood")
    os.killpg(watching.process.pid, signal.SIGINT)
    assert watching.process.wait(60) == 0, (watching.folder / "stderr").read_text()
    summary = json.loads(watching.said.read_text())
    found = watching.committed()
    assert summary["lines"] == sum(summary["outcomes"].values()) == len(found) == before + 40
    assert set(names) <= {r["material_id"] for r in found}
