from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import stack
from deploy.addresses import Addresses, GivenAddresses
from deploy.parts import retry_pump
from deploy.parts.part import Site
from deploy.processes import ProcessId
from deploy.record import PartRecord, StackRecord, load, record_path, save
from materials.errors import Permanent, UsageError
from pipeline.cli import output
from pipeline.cli.main import app


def record(supervisor: ProcessId | None) -> StackRecord:
    parts = {
        "zookeeper": PartRecord(name="zookeeper", state="running", address="127.0.0.1:1", process=ProcessId(1, "x-1")),
        "redis": PartRecord(name="redis", state="given", address="redis://127.0.0.1:1/0"),
        "index": PartRecord(name="index", state="running", address="127.0.0.1:3"),
    }
    return StackRecord(
        supervisor=supervisor, ready=True, parts=parts, given=GivenAddresses(redis="redis://127.0.0.1:1/0")
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = record(ProcessId(7, "boot-1"))
    save(tmp_path, written)
    assert load(tmp_path) == written
    assert written.addresses() == Addresses("127.0.0.1:1", "redis://127.0.0.1:1/0", "127.0.0.1:3", "")


def test_the_run_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    save(tmp_path, StackRecord())
    assert record_path(tmp_path).parent.stat().st_mode & 0o077 == 0


def test_a_broken_record_is_an_empty_one(tmp_path: Path) -> None:
    save(tmp_path, StackRecord())
    record_path(tmp_path).write_text('{"version": 1, "parts": ')
    assert load(tmp_path) == StackRecord()


def test_no_stack_is_found_behind_a_recycled_supervisor_pid(tmp_path: Path) -> None:
    save(tmp_path, record(ProcessId(1, "another-boot")))
    assert stack.find(tmp_path) is None


def test_status_names_what_is_dead_and_where_to_look(tmp_path: Path) -> None:
    save(tmp_path, record(ProcessId(1, "another-boot")))
    parts = {part.name: part for part in stack.status(tmp_path)}
    assert parts["supervisor"].state == "dead"
    assert parts["supervisor"].log.endswith("supervisor.log")
    assert parts["zookeeper"].state == "dead"
    assert parts["redis"].state == "dead"  # given, and nobody listens on port 1
    assert "unreachable" in parts["redis"].detail


def test_down_forgets_stale_pids_and_keeps_ports(tmp_path: Path) -> None:
    stale = record(ProcessId(1, "another-boot"))
    stale.parts["zookeeper"].ports = {"client": 12345}
    save(tmp_path, stale)
    assert stack.down(tmp_path) == []
    after = load(tmp_path)
    assert after.parts["zookeeper"].ports == {"client": 12345}
    assert {part.state for part in after.parts.values()} == {"stopped"}


def test_a_folder_without_a_stack(tmp_path: Path) -> None:
    assert stack.status(tmp_path) == []
    assert stack.find(tmp_path / "none") is None
    assert stack.down(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_passwords_of_given_parts_are_never_shown(tmp_path: Path) -> None:
    asked = GivenAddresses(redis="redis://me:hunter2@127.0.0.1:1/0")
    stack_record = record(ProcessId(1, "another-boot"))
    stack_record.parts["redis"].address = asked.redis
    save(tmp_path, stack_record)
    shown = CliRunner().invoke(app, ["status", "--state", str(tmp_path)], env={"COLUMNS": "200"})
    as_json = CliRunner().invoke(app, ["status", "--json", "--state", str(tmp_path)])
    with pytest.raises(UsageError) as refused:
        stack.up(tmp_path / "other", asked)
    for told in (shown.output, as_json.output, refused.value.message):
        assert "redis://***@127.0.0.1:1/0" in told
        assert "hunter2" not in told
    assert "hunter2" not in retry_pump.PART.address(Site(tmp_path, {}, asked))
    assert load(tmp_path).addresses().redis == asked.redis  # clients need it


def test_an_error_is_told_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell(Permanent("no answer from redis://me:hunter2@cache:6379/0"))
    told = capsys.readouterr().err
    assert "cache:6379" in told
    assert "hunter2" not in told
