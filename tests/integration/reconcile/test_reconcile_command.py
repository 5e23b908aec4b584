"""`sosie reconcile` on the real stack: a clean report, then one that names what was taken away."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from sosie_system import System, results, write_job

from reconcile.ledger.rows import rows_folder

pytestmark = [pytest.mark.stack, pytest.mark.soak, pytest.mark.timeout(900)]
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


def reconcile(system: System, *more: str) -> dict[str, Any]:
    asked = ("reconcile", "run", "--window", "1m", *more, "--json", "--state", system.state)
    code, told = system.either(*asked)
    assert code in (0, 3), told
    report: dict[str, Any] = json.loads(told)
    return report


def test_a_report_names_what_was_taken_away_and_repair_brings_back_what_is_lost(system: System, tmp_path: Path) -> None:
    since = ("--from", datetime.now(UTC).isoformat())  # other tests' records stand in earlier windows
    records: list[Any] = [{"material_id": f"rec-{i}", "kind": "post", "text": t} for i, t in enumerate(TEXTS)]
    summary = system.run(write_job(tmp_path, [*records, b"not a record"], "reconciled"))
    run_id = summary["run_id"]
    names = {f"rec-{i}" for i in range(len(TEXTS))} | {"@reconciled.jsonl:6"}

    # rec-2 gets another content ID, rec-1 leaves Redis, rec-3 and the bad line leave ledger and results
    with redis.Redis.from_url(system.addresses.redis) as store:
        store.delete("sosie:outcome:rec-1")
        stranger = {"revision": 0, "outcome": "unique", "content_id": "x"}
        store.hset("sosie:outcome:rec-planted", "feed", json.dumps(stranger))
    swapped = next(r["content_id"] for r in results(tmp_path, "reconciled") if r["material_id"] == "rec-2")
    for file in (tmp_path / "out-reconciled" / "results").glob("*.jsonl"):
        take_out(file, "rec-3", "@reconciled.jsonl:6", ended_only=False)
        file.write_text(file.read_text().replace(swapped, "feed-swapped", 1))
    for file in rows_folder(system.state).glob(f"{run_id}-*.jsonl"):
        take_out(file, "rec-3", "@reconciled.jsonl:6", ended_only=True)

    before = reconcile(system, *since, "--sample", "3")
    assert run_id in before["runs"]
    assert of_run(before, names | {"rec-planted"}) == {
        ("rec-1", "index_only"),
        ("rec-planted", "redis_only"),
        ("rec-2", "swapped_content_id"),
        ("rec-3", "lost"),
        ("@reconciled.jsonl:6", "lost"),
    }
    assert before["totals"]["gap"] == 2
    assert {one["verdict"] for one in before["sample"]} <= {"same", "unchecked", "different"}
    page = next(iter((system.state / "reports" / before["name"]).glob(f"r{before['revision']}.html"))).read_text()
    assert "2 of" in page
    assert "rec-planted" in page

    with redis.Redis.from_url(system.addresses.redis) as store:
        store.delete("sosie:outcome:rec-planted")
    after = reconcile(system, *since, "--repair", "--sample", "0")
    assert of_run(after, names | {"rec-planted"}) == {("rec-2", "swapped_content_id")}
    assert after["totals"]["gap"] == 0
    assert after["totals"]["completeness"] == 1.0
    assert system.ask("reconcile", "report", code=3) == after


def take_out(file: Path, *names: str, ended_only: bool) -> None:
    """Remove the lines of some materials from a file of results or of the ledger."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [one for one in lines if one["material_id"] not in names or (ended_only and one["stage"] != "ended")]
    file.write_text("".join(json.dumps(one) + "\n" for one in kept))
