"""A part whose process lives and does not answer: `status` tells since when, before patience is at an end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import keeper, stack
from deploy.parts.part import Launch, Part, Site, Unhealthy
from deploy.processes import wait_until
from deploy.record import PartRecord, PartStatus, StackRecord, save
from pipeline.cli.stack import status_table


def sleeper(check: Callable[[Site], None]) -> Part:
    """A process that does nothing; whether it is well the test decides."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    return Part("sleeper", (), lambda site: Launch(command, {}, site.state), check, lambda _site: "nowhere")


def test_a_part_that_stops_answering_is_told_with_the_age_of_its_last_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "CHECK_SECONDS", 0.05)
    frozen = threading.Event()

    def check(_site: Site) -> None:
        if frozen.is_set():
            raise Unhealthy("it does not answer")

    record = PartRecord(name="sleeper", state="starting", log=str(tmp_path / "log"))
    kept = StackRecord(parts={"sleeper": record})

    def shown() -> PartStatus:
        return stack.status(tmp_path)[-1]

    thread = keeper.Keeper(
        part=sleeper(check),
        site=Site(tmp_path, {}),
        record=record,
        changed=lambda: save(tmp_path, kept),
        choose_ports=lambda _part: None,
    )
    thread.start()
    try:
        assert wait_until(lambda: record.state == "running", 20)
        assert (shown().silent_s, shown().detail) == (0, "")
        frozen.set()
        assert wait_until(lambda: shown().silent_s > 0.2, 20)
        assert (shown().state, shown().detail) == ("running", "it does not answer")
        assert "its check fails for" in str(list(status_table([shown()], tmp_path).columns[1].cells))
        frozen.clear()
        assert wait_until(lambda: shown().silent_s == 0, 20)
        assert shown().detail == ""
        assert record.restarts == 0
    finally:
        thread.stopping.set()
        thread.join()
