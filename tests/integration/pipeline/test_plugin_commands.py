"""`sosie plugin` against a real ZooKeeper: from a project folder to a worker's hands, and out of them again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_servers import ZooKeeper
from plugin_projects import project
from typer.testing import CliRunner

from materials.errors import UsageError
from materials.records import Feature
from model_plugins.hosting.hosted_plugin import HostedPlugin
from model_plugins.protocol import TextMedia
from model_plugins.registry.live import LiveRegistry
from pipeline import plugin_operations as operations
from pipeline.cli.main import app

Command = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs `sosie plugin …` on a state folder and a ZooKeeper of its own; gives the JSON that it prints."""
    for name in ("SOSIE_ZOOKEEPER_AUTH_FILE", "SOSIE_PLUGIN_ALLOW", "SOSIE_LIBRARY", "SOSIE_STATE"):
        monkeypatch.delenv(name, raising=False)
    server = ZooKeeper(tmp_path)
    server.start()
    monkeypatch.setenv("SOSIE_ZOOKEEPER", server.address)

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["plugin", *arguments, "--state", str(tmp_path / "state"), "--json"])
        if done.exception is not None:
            raise done.exception
        return json.loads(done.stdout)

    try:
        yield run
    finally:
        server.kill()


def listed(command: Command) -> dict[str, Any]:
    return {each["name"]: each for each in command("list")}


def test_a_plugin_is_registered_runs_and_is_taken_back(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "letters")
    first = command("register", str(folder))
    assert (first["listed_now"], first["allowed"]) == (True, True)
    assert [each["done"] for each in first["plugins"]] == ["registered"]
    found = listed(command)
    assert (found["letters"]["origin"], found["letters"]["state"]) == ("registered", "accepted")
    assert found["image-pdq"]["state"] == "installed"

    async def as_a_worker_does() -> Feature:
        live = LiveRegistry(operations.quorum(tmp_path, ""), operations.acceptance(tmp_path / "state"))
        try:
            assert live.wait_until(lambda snapshot: "letters" in snapshot.plugins, 10)
            plugin = HostedPlugin(live.current()["letters"].source)
            try:
                tensors = await plugin.prepare(TextMedia("seven!!"))
                assert tensors is not None
                return await plugin.interpret(tensors)
            finally:
                plugin.close()
        finally:
            live.close()

    assert asyncio.run(as_a_worker_does()).array().tolist() == [7]

    assert command("register", str(folder))["plugins"][0]["done"] == "unchanged"
    assert command("disable", "letters")["enabled"] is False
    assert listed(command)["letters"]["state"] == "disabled"
    assert command("enable", "letters")["enabled"] is True

    # on another allow list the key is a stranger's, and is not put there by itself
    monkeypatch.setenv("SOSIE_PLUGIN_ALLOW", str(tmp_path / "other.allow"))
    newer = str(project(tmp_path / "letters", version=2))
    with pytest.raises(UsageError, match=r"would refuse it: the key .* is not on .*other.allow"):
        command("register", newer)
    assert listed(command)["letters"]["version"] == 1, "what runs goes on"
    refused = command("register", newer, "--elsewhere")
    assert (refused["listed_now"], refused["allowed"]) == (False, False)
    assert "other.allow" in refused["reason"]
    assert listed(command)["letters"]["state"] == "refused"
    (tmp_path / "other.allow").write_text(refused["public_key"] + "\n")
    assert listed(command)["letters"]["state"] == "accepted"

    assert command("remove", "letters")["entry"]["version"] == 2
    assert "letters" not in listed(command)
    with pytest.raises(UsageError, match="no plug-in 'letters' is registered"):
        command("remove", "letters")


def test_a_plugin_that_breaks_a_promise_is_not_registered(command: Command, tmp_path: Path) -> None:
    broken = project(tmp_path / "moody", "moody", more="\n    def interpret(self, outputs):\n        return 7\n")
    with pytest.raises(UsageError, match="does not pass its check") as caught:
        command("register", str(broken))
    assert f"sosie plugin check {broken} explains" == caught.value.remedy
    assert "moody" not in listed(command)
    assert command("register", str(broken), "--no-check")["plugins"][0]["done"] == "registered"


def test_where_no_stack_runs_only_what_is_installed_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOSIE_ZOOKEEPER", raising=False)
    assert {each.origin for each in operations.listing(tmp_path, "")} == {"installed"}
    with pytest.raises(UsageError, match="no stack runs") as caught:
        operations.quorum(tmp_path, "")
    assert "--zookeeper" in caught.value.remedy
