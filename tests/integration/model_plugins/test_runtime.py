"""The plug-in runtime over a real socket: batches, rows, extras, checks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pytest
from model_servers import KServe
from numpy.typing import NDArray

from materials.errors import Permanent, Retryable, UsageError
from materials.records import Feature
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.protocol import Example, Manifest, ModelRef, Tensors, TextMedia
from model_plugins.runtime import PluginRuntime
from model_plugins.runtime.active import InProcess, Use
from model_plugins.runtime.breaker import FAILURES
from model_plugins.runtime.findings import Findings
from model_plugins.runtime.route import Route

DOUBLE = ModelRef(name="double", inputs={"in": ("FP32", (3,))}, outputs=("out",), max_batch=4)
Start = Callable[..., KServe]


class Doubling:
    """Rows through the model, an extra array past it."""

    def __init__(self, name: str = "doubling", model: ModelRef | None = DOUBLE) -> None:
        self.manifest = Manifest(name=name, version=3, media="text", schema="rows", model=model)

    def prepare(self, media: TextMedia) -> dict[str, NDArray[Any]] | None:
        return rows(len(media.text)) if media.text else None

    def interpret(self, outputs: Tensors) -> Feature:
        whole = outputs["out"] if "out" in outputs else outputs["in"]
        return Feature.of("rows", np.concatenate([whole, outputs["label"][:, None]], axis=1))

    def examples(self) -> list[Example]:
        return [Example("three rows", TextMedia("abc"))]


def rows(count: int, start: int = 0) -> dict[str, NDArray[Any]]:
    numbers = np.arange(start, start + count, dtype=np.float32)
    return {"in": np.repeat(numbers[:, None], 3, axis=1), "label": numbers + 0.5}


def with_runtime(
    act: Callable[[PluginRuntime], Awaitable[Any]], *addresses: str, plugins: dict[str, Any] | None = None
) -> Any:
    async def go() -> Any:
        runtime = PluginRuntime(plugins or {"doubling": Doubling()}, StaticDirectory({"double": addresses}))
        try:
            return await act(runtime)
        finally:
            await runtime.close()

    return asyncio.run(go())


def test_many_materials_share_batches_and_keep_their_rows(kserve: Start) -> None:
    server = kserve()
    sizes = [1, 1, 7, 2, 13, 1, 4, 1]

    async def act(runtime: PluginRuntime) -> list[Any]:
        steps = [runtime.run("text", {"doubling": rows(n, 100 * k)}) for k, n in enumerate(sizes)]
        return [found.features for found in await asyncio.gather(*steps)]

    for place, (size, features) in enumerate(zip(sizes, with_runtime(act, server.address), strict=True)):
        assert list(features) == ["doubling@3"]
        numbers = np.arange(size, dtype=np.float32) + 100 * place
        expected = np.column_stack([2 * numbers, 2 * numbers, 2 * numbers, numbers + 0.5])
        np.testing.assert_array_equal(features["doubling@3"].array(), expected)
    assert sum(server.batches) == sum(sizes)
    assert max(server.batches) == 4
    assert len(server.batches) == -(-sum(sizes) // 4)


def test_plugins_without_a_model_and_without_tensors(kserve: Start) -> None:
    plugins = {"doubling": Doubling(), "plain": Doubling("plain", None), "silent": Doubling("silent")}

    async def act(runtime: PluginRuntime) -> Any:
        return (await runtime.run("text", {"plain": rows(2), "doubling": rows(1), "silent": None})).features

    features = with_runtime(act, kserve().address, plugins=plugins)
    assert sorted(features) == ["doubling@3", "plain@3"]
    np.testing.assert_array_equal(features["plain@3"].array()[:, 0], [0, 1])


def test_plugins_of_one_model_share_its_batches(kserve: Start) -> None:
    server = kserve()
    plugins = {"a": Doubling("a"), "b": Doubling("b")}

    async def act(runtime: PluginRuntime) -> Any:
        return (await runtime.run("text", {"a": rows(2), "b": rows(2, 10)})).features

    features = with_runtime(act, server.address, plugins=plugins)
    assert features["b@3"].array()[:, 0].tolist() == [20, 22]
    assert server.batches == [4]


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"in": np.zeros((1, 3), np.float64)}, "as float64"),
        ({"in": np.zeros((1, 4), np.float32)}, r"as float32 \[1, 4\]"),
        ({"in": np.zeros(3, np.float32)}, r"takes FP32 \[n, 3\]"),
        ({"in": np.zeros((0, 3), np.float32)}, "no rows"),
        ({"label": np.zeros(1)}, "prepared no 'in'"),
    ],
)
def test_tensors_that_do_not_fit_never_reach_a_server(
    kserve: Start, tensors: dict[str, NDArray[Any]], complaint: str
) -> None:
    server = kserve()

    async def act(runtime: PluginRuntime) -> Any:
        with pytest.raises(Permanent, match=complaint):
            await runtime.run("text", {"doubling": tensors})

    with_runtime(act, server.address)
    assert server.batches == []


def test_a_plugin_that_raises_says_its_name(kserve: Start) -> None:
    async def act(runtime: PluginRuntime) -> Any:
        with pytest.raises(Permanent, match="plug-in doubling@3 failed in interpret: KeyError"):
            await runtime.run("text", {"doubling": {"in": np.zeros((1, 3), np.float32)}})

    with_runtime(act, kserve().address)


def test_an_unknown_plugin_is_refused() -> None:
    async def act(runtime: PluginRuntime) -> Any:
        with pytest.raises(UsageError, match="'nobody' is not part of this job"):
            await runtime.run("text", {"nobody": rows(1)})

    with_runtime(act)


def test_an_optional_plugin_that_fails_is_marked_and_the_others_go_on(kserve: Start) -> None:
    good, bad = Doubling("good"), Doubling("bad")

    async def act(runtime: PluginRuntime) -> Findings:
        runtime.take_up(InProcess(bad, Use(need="optional")))
        return await runtime.run("text", {"good": rows(1), "bad": {"in": np.zeros((1, 3), np.float32)}})

    found = with_runtime(act, kserve().address, plugins={"good": good})
    assert list(found.features) == ["good@3"]
    assert list(found.missing) == ["bad@3"]
    assert found.missing["bad@3"].startswith("plugin_failed: plug-in bad@3 failed in interpret: KeyError")


def test_an_optional_plugin_whose_model_is_nowhere_holds_nothing_for_long(kserve: Start) -> None:
    elsewhere = Doubling("elsewhere", ModelRef(name="nowhere", inputs=DOUBLE.inputs, outputs=DOUBLE.outputs))

    async def act(runtime: PluginRuntime) -> Any:
        runtime.take_up(InProcess(elsewhere, Use(need="optional", patience_s=0.05)))
        return [await runtime.run("text", {"doubling": rows(1), "elsewhere": rows(1)}) for _ in range(FAILURES + 1)]

    *found, last = with_runtime(act, kserve().address)
    assert all(list(each.features) == ["doubling@3"] for each in [*found, last])
    assert all(each.missing["elsewhere@3"].startswith("too_slow") for each in found)
    assert last.missing["elsewhere@3"].startswith("plugin_suspended"), "it is asked again and again"


def test_features_of_another_model_version_have_a_key_of_their_own(kserve: Start) -> None:
    async def go() -> list[str]:
        directory = StaticDirectory({"double": (kserve().address,)})
        versions = iter(["", "1", "2"])
        runtime = PluginRuntime({"doubling": Doubling()}, directory, version_of=lambda _: next(versions))
        try:
            return [key for _ in range(3) for key in (await runtime.run("text", {"doubling": rows(1)})).features]
        finally:
            await runtime.close()

    assert asyncio.run(go()) == ["doubling@3", "doubling@3", "doubling@3.2"]


def test_what_is_known_is_not_computed_again(kserve: Start) -> None:
    server = kserve()
    known = Feature.of("rows", np.zeros(1))

    async def act(runtime: PluginRuntime) -> Findings:
        return await runtime.run("text", {"doubling": rows(1)}, known={"doubling@3": known, "older@1": known})

    assert with_runtime(act, server.address).features == {"doubling@3": known}
    assert server.batches == []


def test_plugins_come_and_go(kserve: Start) -> None:
    async def act(runtime: PluginRuntime) -> list[list[str]]:
        async def keys() -> list[str]:
            return sorted((await runtime.run("text", {}, media=TextMedia(""), known=None)).features)

        class Length(Doubling):
            def prepare(self, media: TextMedia) -> dict[str, NDArray[Any]]:
                return rows(1 + len(media.text))

        before = await keys()
        runtime.take_up(InProcess(Length("length", None)))
        taken = await keys()
        runtime.drop("length")
        runtime.drop("length")
        return [before, taken, await keys()]

    assert with_runtime(act, kserve().address) == [[], ["length@3"], []]


def test_a_fusing_plugin_gets_what_it_needs_and_what_is_there(kserve: Start) -> None:
    class Sum(Doubling):
        needs = ("doubling", "absent")

        def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
            return Feature.of("rows", np.array([len(features), len(text)]))

    async def act(runtime: PluginRuntime) -> Findings:
        runtime.take_up(InProcess(Sum("sum", None)))
        return await runtime.run("text", {"doubling": rows(1)}, text="abc")

    found = with_runtime(act, kserve().address)
    assert found.features["sum@3"].array().tolist() == [1, 3]


def test_closing_ends_what_is_under_way(kserve: Start) -> None:
    server = kserve()
    server.hang.clear()

    async def go() -> None:
        runtime = PluginRuntime({"doubling": Doubling()}, StaticDirectory({"double": (server.address,)}))
        tasks = [asyncio.create_task(runtime.run("text", {"doubling": rows(9, k)})) for k in range(5)]
        await asyncio.sleep(0.02)
        await runtime.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, Retryable) for each in answers), answers

    asyncio.run(go())


def test_three_loops_in_one_process(kserve: Start) -> None:
    """As in Flink's mini-cluster, where the operators of all kinds share a process, each with a loop of its own."""
    server = kserve()
    answers: dict[int, list[Any]] = {}

    def operator(number: int) -> None:
        async def act(runtime: PluginRuntime) -> list[Any]:
            steps = [runtime.run("text", {"doubling": rows(1, 1000 * number + n)}) for n in range(200)]
            return [found.features for found in await asyncio.gather(*steps)]

        answers[number] = with_runtime(act, server.address)

    threads = [threading.Thread(target=operator, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        firsts = [features["doubling@3"].array()[0, 0] for features in answers[number]]
        assert firsts == [2.0 * (1000 * number + n) for n in range(200)]


def test_a_plugin_of_a_slow_model_may_wait_longer_than_another(kserve: Start) -> None:
    server = kserve()

    async def act(runtime: PluginRuntime) -> Findings:
        runtime.take_up(InProcess(Doubling("hasty"), Use(route=Route(deadline_s=0.2))))
        server.hang.clear()
        patient = asyncio.create_task(runtime.run("text", {"doubling": rows(1)}))
        with pytest.raises(Retryable, match="no answer within the deadline"):
            await runtime.run("text", {"hasty": rows(1)})
        assert not patient.done()
        server.hang.set()
        return await patient

    assert list(with_runtime(act, server.address).features) == ["doubling@3"]


class Closable(InProcess):
    """Tells that it was closed, and waits in `interpret` until it may go on."""

    def __init__(self, plugin: Doubling, use: Use) -> None:
        super().__init__(plugin, use)
        self.closed = False
        self.asked = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def interpret(self, outputs: Tensors) -> Feature:
        self.asked.set()
        await self.may_go_on.wait()
        assert not self.closed
        return await super().interpret(outputs)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("replaced", [True, False])
def test_a_plugin_that_is_replaced_or_dropped_ends_after_what_it_has_begun(kserve: Start, replaced: bool) -> None:
    async def act(runtime: PluginRuntime) -> Findings:
        old = Closable(Doubling("older"), Use(need="optional"))
        runtime.take_up(old)
        medium = asyncio.create_task(runtime.run("text", {"older": rows(1)}))
        await old.asked.wait()
        if replaced:
            runtime.take_up(InProcess(Doubling("older"), Use(need="optional")))
        else:
            runtime.drop("older")
        assert not old.closed
        old.may_go_on.set()
        found = await medium
        assert old.closed
        return found

    assert list(with_runtime(act, kserve().address).features) == ["older@3"]
