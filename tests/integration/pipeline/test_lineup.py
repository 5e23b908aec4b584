"""Plug-ins come, change and go while an operator runs; their code runs in real children."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from materials.errors import UsageError
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.hosting.limits import PluginSource
from model_plugins.protocol import MediaKind, TextMedia
from model_plugins.registry.acceptance import LivePlugin
from model_plugins.runtime import PluginRuntime
from model_plugins.runtime.findings import Findings
from pipeline.lineup import Lineup
from pipeline.spec import FilesSink, FilesSource, JobSpec, PluginUse, Registered

FOLDER = str(Path(__file__).parents[2] / "support")


class Registry:
    """What is registered, changed by hand."""

    def __init__(self) -> None:
        self.plugins: dict[str, LivePlugin] = {}
        self._callbacks: list[Callable[[], None]] = []

    def current(self) -> dict[str, LivePlugin]:
        return self.plugins

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def put(self, target: str, name: str = "length", version: int = 1, media: MediaKind = "text") -> None:
        source = PluginSource(target=f"live_probes:{target}", path=FOLDER)
        self._now({**self.plugins, name: LivePlugin(name, version, media, source)})

    def remove(self, name: str) -> None:
        self._now({key: each for key, each in self.plugins.items() if key != name})

    def _now(self, plugins: dict[str, LivePlugin]) -> None:
        self.plugins = plugins
        for callback in self._callbacks:
            callback()


class Stage:
    """A running lineup."""

    def __init__(self, runtime: PluginRuntime, registry: Registry) -> None:
        self.runtime = runtime
        self.registry = registry

    async def read(self, text: str) -> Findings:
        return await self.runtime.run("text", {}, media=TextMedia(text), text=text)

    async def until(self, *keys: str) -> None:
        """Wait for the line-up to be this one."""
        async with asyncio.timeout(30):
            while self.runtime.keys("text") != set(keys):  # noqa: ASYNC110 - the runtime has no event for it
                await asyncio.sleep(0.01)


def run(act: Callable[[Stage], Awaitable[Any]], registered: Registered | None = None, plugins: Any = None) -> Any:
    async def go() -> Any:
        runtime = PluginRuntime({}, StaticDirectory({}))
        spec = JobSpec(
            name="job",
            source=FilesSource(path=Path("in")),
            sink=FilesSink(path=Path("out")),
            plugins=plugins or (PluginUse(name="text-embedding"),),
            registered=registered or Registered(),
        )
        lineup, registry = Lineup(runtime, spec, ["text"]), Registry()
        try:
            await lineup.start()
            await lineup.follow(registry)
            return await act(Stage(runtime, registry))
        finally:
            lineup.close()
            await runtime.close()

    return asyncio.run(go())


def test_a_plugin_is_taken_up_replaced_and_dropped_under_load() -> None:
    async def act(stage: Stage) -> list[int]:
        found = []
        stage.registry.put("Length")
        await stage.until("text-embedding@1", "length@1")
        found.append(int((await stage.read("abc")).features["length@1"].array()[0]))
        stage.registry.put("Doubled", version=2)
        while "length@2" not in stage.runtime.keys("text"):  # the old one serves until the new one is loaded
            assert "length@1" in (await stage.read("abc")).features
        found.append(int((await stage.read("abc")).features["length@2"].array()[0]))
        stage.registry.remove("length")
        await stage.until("text-embedding@1")
        return found

    assert run(act) == [3, 6]


def test_one_that_loops_costs_its_own_feature_and_no_other() -> None:
    async def act(stage: Stage) -> Findings:
        stage.registry.put("Looping", name="looping")
        stage.registry.put("Length")
        await stage.until("text-embedding@1", "length@1", "looping@1")
        return await stage.read("a text that is long enough to have an embedding")

    found = run(act, Registered(prepare_s=0.3))
    assert sorted(found.features) == ["length@1", "text-embedding@1"]
    assert found.missing["looping@1"].startswith("plugin_hung: ")


def test_one_that_does_not_load_leaves_the_others_alone() -> None:
    async def act(stage: Stage) -> None:
        stage.registry.put("Broken", name="broken")
        stage.registry.put("Length")
        await stage.until("text-embedding@1", "length@1")
        stage.registry.put("Doubled")  # it calls itself version 2, and is registered as 1
        stage.registry.put("Length", name="other")
        stage.registry.remove("length")
        await stage.until("text-embedding@1")

    run(act)


@pytest.mark.parametrize(
    ("take", "also"), [(("other",), []), (("length", "other"), ["length@1"]), ("all", ["length@1"])]
)
def test_the_spec_says_which_are_taken(take: Any, also: list[str]) -> None:
    async def act(stage: Stage) -> None:
        stage.registry.put("Length", media="image", name="pictures-only")
        stage.registry.put("Length")
        stage.registry.put("Other", name="other")  # the last, so that the others have been looked at
        await stage.until("text-embedding@1", "other@1", *also)

    run(act, Registered(take=take))


def test_third_party_code_that_the_spec_names_runs_in_a_child_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)

    async def act(stage: Stage) -> tuple[bool, list[str]]:
        stage.registry.put("Doubled", version=2)  # the spec's own wins
        return stage.runtime.active["length"].hosted, sorted((await stage.read("abc")).features)

    assert run(act, plugins=(PluginUse(name="live_probes:Length"),)) == (True, ["length@1"])


def test_a_plugin_that_cannot_be_loaded_is_a_mistake_of_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    with pytest.raises(UsageError, match="no such weights"):
        run(lambda stage: stage.read(""), plugins=(PluginUse(name="live_probes:Broken"),))
