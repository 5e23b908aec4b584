"""`sosie reconcile` on the real stack: a clean report, then one that names what was taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from sosie_system import System, results, write_job

pytestmark = pytest.mark.stack
TEXTS = [
    "Two herons stood on the weir at Arles, and neither of them moved for an hour.",
    "Two herons stood on the weir at Arles, and neither of them moved for an hour!!",
    "Wheat futures in Chicago rose by four cents after the frost of Tuesday night.",
    "The library in Tromso keeps a stuffed walrus behind the desk of its reading room.",
    "Rebuilding the pier at Brighton will take nine years, its engineers wrote.",
]


def of_run(report: dict[str, Any], names: set[str]) -> set[tuple[str, str]]:
    """(material, what) of discrepancies about some materials: other tests use the same system."""
    return {(one["material_id"], one["name"]) for one in report["discrepancies"] if one["material_id"] in names}


def reconcile(system: System) -> dict[str, Any]:
    asked = ("reconcile", "run", "--window", "1h", "--sample", "3", "--json", "--state", system.state)
    code, told = system.either(*asked)
    assert code in (0, 3), told
    report: dict[str, Any] = json.loads(told)
    return report


def test_a_report_names_what_was_taken_away(system: System, tmp_path: Path) -> None:
    records: list[Any] = [{"material_id": f"rec-{i}", "kind": "post", "text": t} for i, t in enumerate(TEXTS)]
    summary = system.run(write_job(tmp_path, [*records, b"not a record"], "reconciled"))
    names = {f"rec-{i}" for i in range(len(TEXTS))} | {"@reconciled.jsonl:6"}
    before = reconcile(system)
    assert summary["run_id"] in before["runs"]
    assert of_run(before, names) == set()
    assert before["totals"]["gap"] == 0

    with redis.Redis.from_url(system.addresses.redis) as store:
        store.delete("sosie:outcome:rec-2")
        store.hset(
            "sosie:outcome:rec-planted", "feed", json.dumps({"revision": 0, "outcome": "unique", "content_id": "x"})
        )
    [file] = (tmp_path / "out-reconciled" / "results").glob("*.jsonl")
    lines = file.read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["material_id"] != "rec-3"]
    swapped = results(tmp_path, "reconciled")[0]["content_id"]
    file.write_text("\n".join(kept).replace(swapped, "feed-swapped", 1) + "\n")
    after = reconcile(system)
    found = of_run(after, names | {"rec-planted"})
    assert {("rec-2", "index_only"), ("rec-planted", "redis_only"), ("rec-3", "lost_result")} <= found
    assert [name for _, name in found].count("swapped_content_id") == 1
    assert len(found) == 4
    assert after["totals"]["gap"] == 1

    with redis.Redis.from_url(system.addresses.redis) as store:
        store.delete("sosie:outcome:rec-planted")
    shown = system.ask("reconcile", "report", code=3)
    assert shown == after
    page = next(iter((system.state / "reports" / after["name"]).glob(f"r{after['revision']}.html"))).read_text()
    assert "1 of" in page
    assert "rec-planted" in page
    assert "http" not in page
