"""A session cluster of two slots and the mini-cluster agree, and a replay of the one on the other changes nothing.

The mini-cluster runs Python functions in the client's process and so hides what does not ship; this does not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from photos import photo
from scenes import write_clip, write_jpeg
from sosie_system import System, results, write_job

from deploy.flink import SessionCluster, start_session_cluster

pytestmark = pytest.mark.stack
PHOTOS = ("chelsea", "beach", "mona-lisa", "rocket", "sail", "tiger")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionCluster]:
    running = start_session_cluster(tmp_path_factory.mktemp("flink"), slots=2)
    try:
        yield running
    finally:
        running.stop()


def groups(found: list[dict[str, Any]]) -> set[frozenset[str]]:
    together: dict[str, set[str]] = defaultdict(set)
    for result in found:
        if result["content_id"]:
            together[result["content_id"]].add(result["material_id"])
    return {frozenset(members) for members in together.values()}


def decided(found: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    return {r["material_id"]: (r["outcome"], r["content_id"]) for r in found}


def test_submit_and_run_group_alike_and_a_replay_changes_nothing(
    system: System, cluster: SessionCluster, tmp_path: Path
) -> None:
    pictures = tmp_path / "input" / "pictures"
    records: list[Any] = [b"{broken"]
    for name in PHOTOS:
        write_jpeg(pictures / f"{name}.jpg", photo(name))
        write_jpeg(pictures / f"{name}-c.jpg", photo(name)[10:, 10:], quality=70)
        records += [
            {"material_id": f"sub-{name}{copy}", "kind": "image", "media": [f"pictures/{name}{copy}.jpg"]}
            for copy in ("", "-c")
        ]
    write_clip(pictures / "v.mp4", photo("waterfall"))
    records.append({"material_id": "sub-v", "kind": "video", "media": ["pictures/v.mp4"]})
    records.append(
        {"material_id": "sub-t", "kind": "post", "text": "Eleven herons stood in the shallow water near Arles."}
    )
    here = write_job(tmp_path, records, name="here", policy="feed")
    there = write_job(tmp_path, records, name="there", policy="video-dedup", parallelism=2)

    def submit(spec: Path) -> None:
        summary = json.loads(system.sosie("submit", spec, "--cluster", cluster.rest_url, "--wait", "--json"))
        assert sum(summary["outcomes"].values()) == summary["lines"] == len(records)

    system.run(here)
    submit(there)
    run_once, submitted_once = results(tmp_path, "here"), results(tmp_path, "there")
    assert len(submitted_once) == len(records)
    pairs = {frozenset({f"sub-{name}", f"sub-{name}-c"}) for name in PHOTOS}
    assert groups(run_once) == groups(submitted_once) == pairs | {frozenset({"sub-v"}), frozenset({"sub-t"})}

    submit(write_job(tmp_path, records, name="again", policy="feed"))
    before, after = decided(run_once), decided(results(tmp_path, "again"))
    # the broken line is named after its file, which differs here
    assert {k: v for k, v in before.items() if "@" not in k} == {k: v for k, v in after.items() if "@" not in k}
