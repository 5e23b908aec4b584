"""The job's ledger on the real stack: a row for each line that entered, and one for each outcome."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sosie_system import System, results, write_job

from reconcile.ledger.rows import read_rows, rows_folder, window_of
from reconcile.ledger.runs import read_runs

pytestmark = pytest.mark.stack
RECORDS = [
    {
        "material_id": "ledger-1",
        "kind": "post",
        "text": "The ferry to Naxos sails at nine, not at eight, from pier E7.",
    },
    {
        "material_id": "ledger-2",
        "kind": "post",
        "text": "The ferry to Naxos sails at nine, not at eight, from pier E7!",
    },
    {"material_id": "ledger-3", "kind": "post", "text": "Copper prices fell for a third day in London.", "revision": 4},
    {"material_id": "ledger-4", "kind": "image", "media": ["none.jpg"]},
    b"no record at all",
]


def test_each_line_has_two_rows_that_agree_with_its_result(system: System, tmp_path: Path) -> None:
    summary = system.run(write_job(tmp_path, RECORDS, "ledgered"))
    run_id = summary["run_id"]
    rows = list(read_rows(rows_folder(system.state), run_id))
    entered = {row.material_id: row for row in rows if row.stage == "entered"}
    ended = {row.material_id: row for row in rows if row.stage == "ended"}
    assert Counter(row.stage for row in rows) == {"entered": 5, "ended": 5}
    assert set(entered) == set(ended) == {f"ledger-{i}" for i in range(1, 5)} | {"@ledgered.jsonl:5"}
    for outcome in results(tmp_path, "ledgered"):
        row = ended[outcome["material_id"]]
        assert (row.outcome, row.content_id or None, row.revision) == (
            outcome["outcome"],
            outcome["content_id"],
            outcome["revision"],
        )
        before = entered[row.material_id]
        assert before.window == row.window == window_of(row.entered_at)
        assert row.entered_at == before.entered_at <= row.at
        assert (row.source, row.policy, row.chain) == ("ledgered.jsonl", "feed", run_id)
    assert "text-embedding@1" in ended["ledger-1"].plugins
    assert ended["ledger-4"].cause == "missing_file"
    [record] = [record for record in read_runs(system.state) if record.run_id == run_id]
    assert record.begins
    assert 0 < record.started_at < record.ended_at
