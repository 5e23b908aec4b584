"""What the system says of itself after a case: `sosie reconcile run`."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sosie_system import COMMAND

SECONDS = 240
_OBJECTIVE_MISSED = 3


def reconcile(state: Path, since: float) -> dict[str, object]:
    """The report on what has entered since a moment (epoch seconds), in short: `completeness`, `gap`, `expected`,
    `terminal`, `in_flight`, `doubled`, the objectives that are `missed`, and whether it is `sound`. Where the
    command does not come to a report, what it said is `error`.
    """
    begin = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    command = [*COMMAND, "reconcile", "run", "--window", "10m", "--from", begin, "--settle", "1s", "--sample", "0"]
    done = subprocess.run(
        [*command, "--no-canary", "--state", str(state), "--json"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=SECONDS,
        check=False,
    )
    if done.returncode not in (0, _OBJECTIVE_MISSED):
        return {"error": f"ended with {done.returncode}: {done.stderr[-600:]}", "sound": False}
    return told(json.loads(done.stdout))


def told(report: dict[str, Any]) -> dict[str, object]:
    """The figures of a report that the matrix keeps."""
    totals = report["totals"]
    kept = ("completeness", "gap", "expected", "terminal", "in_flight", "doubled")
    missed = [f"{each['name']}: {each['value']}" for each in report["objectives"] if not each["met"]]
    found = [f"{each['name']}: {each['material_id']} {each['detail']}" for each in report["discrepancies"][:3]]
    complete = totals["completeness"] == 1.0 and totals["gap"] == 0 and totals["expected"] > 0
    return {name: totals[name] for name in kept} | {
        "missed": missed,
        "discrepancies": found,
        "uncounted": report["uncounted"],
        "sound": complete and not missed,
    }
