"""The command line without a stack: every command explains itself, and JSON and exit codes are as promised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import typer
import yaml
from rich.console import Console
from typer.testing import CliRunner

from deploy.addresses import Addresses
from materials.errors import Permanent, UsageError
from materials.records import Candidate
from model_plugins.metrics.reading import Lately
from model_plugins.metrics.rows import CallRow, PluginRow, Recent
from model_plugins.metrics.workers import Worker
from model_plugins.registry import available
from pipeline import lookups
from pipeline import plugin_operations as operations
from pipeline.cli import metrics, output, plugins
from pipeline.cli.main import app
from pipeline.person import person

ROOT = Path(__file__).parents[3]
WITHOUT_JSON = {"sosie demo", "sosie gateway", "sosie model announce"}  # a summary.json; no end

WITHOUT_STATE = {"sosie plugin new", "sosie plugin check", "sosie model golden", "sosie model announce"}


def commands(group: Any = None, path: tuple[str, ...] = ("sosie",)) -> dict[str, Any]:
    """Full name -> command, subcommands included."""
    group = group or typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


COMMANDS = commands()


def invoke(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", **environment})


def test_the_commands_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"sosie up", "sosie run", "sosie content get", "sosie content search", "sosie demo"} <= COMMANDS.keys()
    named = {" ".join(line.split("`")[0].split()[:2]) for line in readme.split("`sosie ")[1:]}
    known = {word for name in COMMANDS for word in name.split()[1:2]}
    assert {name.split()[0] for name in named if name} <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example_of_itself(name: str) -> None:
    answer = invoke(*name.split()[1:], "--help")
    assert answer.exit_code == 0
    shown = answer.output.partition("Example: ")[2] or answer.output.partition("Example")[2]
    assert name in " ".join(shown.split()), answer.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_state(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert "--json" in options or name in WITHOUT_JSON
    assert "--state" in options or name in WITHOUT_STATE
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} does not explain {parameter.opts}"


def test_plugin_new_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = invoke("plugin", "new", "loudness", "--kind", "video", "--json")
    written = json.loads(answer.stdout)
    assert (written["name"], written["folder"]) == ("loudness", str(tmp_path / "loudness"))
    assert Path(written["plugin"]).is_file()


def test_a_user_without_a_name_has_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert person() == ""


def test_metrics_fit_into_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = [9] * 8 + [0] * 8
    call = CallRow(plugin="image-embedding,image-tags", model="image-embedding", version="2", endpoint="10.0.0.1:65000")
    call = msgspec.structs.replace(call, calls=12345, ok=12345, rows=12345, failures={"timeout": 7}, buckets=buckets)
    run = PluginRow(plugin="video-sound-events", version="1", runs=12345, results={"ok": 12345}, buckets=buckets)
    worker = Worker(id="w", address="127.0.0.1", port=1, job="j", kind="image", pid=1)
    lately = Lately(recent=Recent(window_s=300.0, calls=[call], plugins=[run]), workers=[worker], silent=[])
    monkeypatch.setattr(metrics.output, "out", Console(width=80, highlight=False))
    monkeypatch.setattr(metrics, "workers", lambda _hosts: [worker])
    monkeypatch.setattr(metrics, "ask", lambda _workers: lately)
    metrics.metrics_command(zookeeper="127.0.0.1:1")
    shown = capsys.readouterr().out
    for whole in ("image-embedding@2", "10.0.0.1:65000", "image-tags", "12345", "7 timeout", "video-sound-events@1"):
        assert whole in shown, shown


def test_metrics_say_when_no_worker_is_announced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "workers", lambda _hosts: [])
    metrics.metrics_command(zookeeper="127.0.0.1:1", job="other")
    assert "no worker of a job 'other' runs now, and what ended ones counted is gone" in capsys.readouterr().out


def test_plugin_list_fits_into_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    [manifest] = (each for each in available() if each.name == "image-embedding")
    row = PluginRow(plugin=manifest.name, version="1", runs=4, results={"ok": 4}, buckets=[9] * 16, cache_hits=12)
    listed = operations.Listed(
        name="video-sound-events", origin="installed", state="installed", manifest=manifest, lately=(row,)
    )
    monkeypatch.setattr(plugins.output, "out", Console(width=80, highlight=False))
    monkeypatch.setattr(operations, "listing", lambda _state, _zookeeper: [listed])
    plugins.list_plugins()
    shown = capsys.readouterr().out
    assert "what it is" in shown
    assert manifest.summary[:9] in shown, shown
    assert "e+" not in shown, "no exponents"


def test_plugin_list_as_json() -> None:
    answer = invoke("plugin", "list", "--json")
    listed = {row["name"]: row for row in json.loads(answer.stdout)}
    assert set(listed) == {manifest.name for manifest in available()}
    assert {"name", "version", "media", "schema", "summary", "model"} <= listed["image-embedding"].keys()
    assert listed["image-embedding"]["model"]["name"] == "image-embedding"


def test_where_nothing_runs(tmp_path: Path) -> None:
    status = invoke("status", "--json", "--state", str(tmp_path))
    assert (status.exit_code, json.loads(status.stdout)) == (0, {"state": str(tmp_path), "parts": []})
    assert not any(tmp_path.iterdir()), "to look leaves nothing behind"
    assert json.loads(invoke("down", "--json", "--state", str(tmp_path)).stdout) == {"stopped": []}
    assert json.loads(invoke("cluster", "down", "--json", "--state", str(tmp_path)).stdout) == {"stopped": []}
    assert "sosie up" in invoke("status", "--state", str(tmp_path)).stdout


def test_explain_prints_the_whole_plan(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    spec = tmp_path / "job.yaml"
    spec.write_text("{name: j, source: {path: in.jsonl}, sink: {path: out}, plugins: [text-embedding], policy: feed}")
    answer = invoke("run", str(spec), "--explain")
    assert answer.exit_code == 0
    plan = yaml.safe_load(answer.stdout)
    assert plan["source"] == {"kind": "files", "path": str(tmp_path / "in.jsonl"), "watch": False}
    assert plan["retry"]["attempts"] == 3
    assert plan["mode"] == "streaming"


def test_the_state_folder_follows_its_order(tmp_path: Path) -> None:
    def told(*option: str) -> str:
        answer = invoke("status", "--json", *option, SOSIE_STATE=str(tmp_path / "environment"))
        return str(json.loads(answer.stdout)["state"])

    assert told() == str(tmp_path / "environment")
    assert told("--state", str(tmp_path / "option")) == str(tmp_path / "option")


def test_errors_are_one_line_and_name_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.tell(UsageError("no [such] thing", "try: sosie up")) == 2
    assert output.tell(Permanent("it failed")) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == ["sosie: no [such] thing → try: sosie up", "sosie: it failed"]


def test_a_material_in_a_content_ids_place_is_told_the_command_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_index: str, content_id: str) -> str:
        raise Permanent(f"{content_id} was never minted here")

    monkeypatch.setattr(lookups, "addresses", lambda _folder: Addresses(zookeeper="", redis="", index=""))
    monkeypatch.setattr(lookups, "canonical", never)
    monkeypatch.setattr(lookups, "outcomes", lambda _redis, names: {n: {"feed": 1} if n == "P1" else {} for n in names})
    for command in ("lookup", "members"):
        told = invoke("content", command, "P1").exception
        assert isinstance(told, UsageError)
        assert (told.message, told.remedy.partition(": ")[2]) == (
            "P1 is a material and no content ID",
            "sosie content get P1",
        )
        assert isinstance(invoke("content", command, "feed-aaaaaaaaaaaaaaaa").exception, Permanent)


def test_a_search_names_no_relation_where_there_is_most_likely_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Candidate(material_id=name, score=score, relation="same", recall_score=0.3, ranker="r@1", content_id="feed-x")
        for name, score in (("near", 0.93), ("far", 0.0))
    ]
    monkeypatch.setattr(lookups, "addresses", lambda _folder: Addresses(zookeeper="", redis="", index=""))
    monkeypatch.setattr(lookups, "search_text", lambda *_: found)
    monkeypatch.setattr(output, "out", Console(width=120, highlight=False))
    lines = invoke("content", "search", "--text", "x").stdout.splitlines()
    shown = {line.split()[1]: line for line in lines if "0." in line}
    assert "same" in shown["near"]
    assert "same" not in shown["far"]
    assert [row["relation"] for row in json.loads(invoke("content", "search", "--text", "x", "--json").stdout)] == [
        "same",
        "same",
    ]


def test_as_a_program_it_leaves_with_the_exit_code_and_no_stack_trace(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOSIE_")}
    command = [sys.executable, "-m", "pipeline.cli.main", "content", "get", "A", "--state", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sosie: no stack runs on {tmp_path} → start it: sosie up --state {tmp_path}\n"


def test_connections_to_zookeeper_are_not_told_even_where_the_root_logger_is_open() -> None:
    script = (
        "import logging; from pipeline.cli import main; main._quiet_logs(); logging.root.setLevel(logging.INFO);"
        "logging.getLogger('kazoo.client').info('Zookeeper connection established');"
        "logging.getLogger('kazoo.client').error('a fault')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines() == ["ERROR kazoo.client: a fault"]
