"""A third-party plug-in may raise, loop, die, eat memory or lie: its call fails, and its neighbours go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator

import numpy as np
import psutil
import pytest
import structlog
from model_servers import wait_until

from materials.errors import Overloaded, Rejected
from materials.records import Feature
from model_plugins.hosting.errors import PluginFailed
from model_plugins.hosting.hosted_plugin import HostedPlugin
from model_plugins.hosting.limits import HostLimits, PluginSource
from model_plugins.protocol import ImageMedia, TextMedia, VideoMedia

pytestmark = pytest.mark.fault
QUICK = HostLimits(prepare_timeout_s=0.8, interpret_timeout_s=0.7, restart_backoff_s=0.01)

PATIENT = HostLimits(
    prepare_timeout_s=10,
    interpret_timeout_s=10,
    memory_bytes=512 * 1024**2,
    max_result_bytes=8 * 1024**2,
    restart_backoff_s=0.01,
)
"""For what fails by itself: a busy machine shall not look like a plug-in that hangs."""


@contextlib.asynccontextmanager
async def hosted(name: str = "Probe", limits: HostLimits = PATIENT) -> AsyncIterator[HostedPlugin]:
    plugin = HostedPlugin(PluginSource(target=f"hosted_probes:{name}"), limits, name=name.lower())
    try:
        yield plugin
    finally:
        plugin.close()


async def failure(plugin: HostedPlugin, text: str) -> PluginFailed:
    with pytest.raises(PluginFailed) as caught:
        await plugin.prepare(TextMedia(text))
    return caught.value


async def pid_of(plugin: HostedPlugin) -> int:
    tensors = await plugin.prepare(TextMedia("pid"))
    assert tensors is not None
    return int(tensors["pid"][0])


def has_ended(process: psutil.Process) -> bool:
    """Also when nobody has asked for its exit code yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def assert_works(plugin: HostedPlugin) -> None:
    tensors = await plugin.prepare(TextMedia("abcd"))
    assert tensors is not None
    assert tensors["codes"].tolist() == [[97, 98, 99, 100]]
    feature = await plugin.interpret({"sum": np.array([394.0]), "text": tensors["text"]})
    assert feature == Feature.of("vector", np.array([394.0], np.float32))


def test_what_a_plugin_does_at_home_it_does_in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "not for plug-ins")

    async def scene() -> None:
        async with hosted() as probe:
            manifest = await probe.ready()
            assert (manifest.key, manifest.model.name if manifest.model else "") == ("probe@3", "letters")
            assert probe.capabilities == frozenset()
            await assert_works(probe)
            assert await probe.prepare(TextMedia("")) is None
            with pytest.raises(Rejected, match="too_rude"):
                await probe.prepare(TextMedia("reject"))
            tensors = await probe.prepare(TextMedia("environment"))
            assert tensors is not None
            assert b"SECRET_TOKEN" not in tensors["names"].tolist()
            assert b"OMP_NUM_THREADS" in tensors["names"].tolist()
            pid = await pid_of(probe)
            assert pid != os.getpid()
        wait_until(lambda: not psutil.pid_exists(pid))

    asyncio.run(scene())


def test_stills_clips_files_and_fused_features_travel_whole() -> None:
    async def scene() -> None:
        random = np.random.default_rng(7)
        async with hosted("Brightness") as brightness, hosted("Clip") as clip, hosted("Summary") as summary:
            await brightness.ready()
            assert brightness.decodes_on_server
            rgb = random.integers(0, 256, (1200, 1600, 3), np.uint8)  # beyond what is copied in the loop's thread
            tensors = await brightness.prepare(ImageMedia(rgb, 3200, 2400))
            assert tensors is not None
            np.testing.assert_array_equal(tensors["mean"], rgb.mean(axis=(0, 1))[None])
            assert tensors["size"].tolist() == [[3200, 2400]]
            encoded = await brightness.prepare_encoded(b"\xff\xd8 the bytes of a file")
            assert encoded is not None
            assert encoded["data"].tobytes() == b"\xff\xd8 the bytes of a file"

            frames = random.integers(0, 256, (20, 240, 320, 3), np.uint8)
            sound = random.random(16_000).astype(np.float32)
            tensors = await clip.prepare(VideoMedia(frames, np.arange(20) / 2, 9.75, 320, 240, sound))
            assert tensors is not None
            np.testing.assert_array_equal(tensors["frames"], frames)
            np.testing.assert_array_equal(tensors["sound"], sound)
            assert tensors["seconds"].tolist() == [9.75]

            await summary.ready()
            assert summary.needs == ("probe", "brightness")
            one = Feature.of("vector", np.array([1.0, 2.0], np.float32))
            fused = await summary.fuse({"probe": one}, "four")
            assert fused == Feature.of("vector", np.array([1, 2, 4], np.float32))
            assert await summary.fuse({}, "\ud83d") is None

    asyncio.run(scene())


def test_a_plugin_that_loops_in_prepare_is_killed_and_started_again() -> None:
    async def scene() -> None:
        async with hosted(limits=QUICK) as probe:
            before = await pid_of(probe)
            started = time.perf_counter()
            error = await failure(probe, "loop")
            assert time.perf_counter() - started < 8
            assert error.code == "plugin_hung"
            assert "0.8 s in prepare" in error.sentence
            await assert_works(probe)
            assert await pid_of(probe) != before
            assert not psutil.pid_exists(before)

    asyncio.run(scene())


def test_a_plugin_that_loops_in_interpret_is_killed_and_started_again() -> None:
    async def scene() -> None:
        async with hosted(limits=QUICK) as probe:
            await probe.ready()
            text = np.frombuffer(b"loop", np.uint8)
            with pytest.raises(PluginFailed) as caught:
                await probe.interpret({"sum": np.zeros(1), "text": text})
            assert caught.value.code == "plugin_hung"
            assert "0.7 s in interpret" in caught.value.sentence
            await assert_works(probe)

    asyncio.run(scene())


def test_a_plugin_that_raises_tells_what_and_where() -> None:
    async def scene() -> None:
        async with hosted() as probe:
            pid = await pid_of(probe)
            error = await failure(probe, "raise")
            assert error.code == "plugin_raised"
            assert error.plugin == "probe"
            assert "KeyError: 'no such letter'" in str(error)
            assert "hosted_probes.py" in str(error)
            assert 'raise KeyError("no such letter")' in str(error)
            assert "SystemExit: enough" in str(await failure(probe, "sys.exit"))
            await assert_works(probe)
            assert await pid_of(probe) == pid  # no reason to start it again

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("exit", "exit code 7"),
        ("segfault", "SIGSEGV"),
        ("eat", "more than 512 MiB"),
    ],
)
def test_a_plugin_that_dies_is_started_again_and_its_neighbour_goes_on(text: str, told: str) -> None:
    async def scene() -> None:
        async with hosted() as bad, hosted() as good:
            await good.ready()
            await bad.ready()

            async def neighbour() -> None:
                for _ in range(20):
                    await assert_works(good)

            error, _ = await asyncio.gather(failure(bad, text), neighbour())
            assert error.code == "plugin_died"
            assert told in error.sentence
            await assert_works(bad)
            assert good.status.starts == 1
            assert bad.status.starts == 2

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("garble", "cannot be read"),
        ("flood", "cannot be read"),
        ("list", "answered prepare with a list"),
        ("objects", "dtype object"),
        ("many", "answered 100 arrays"),
        ("huge", "more than 8 MiB"),
    ],
)
def test_a_plugin_that_answers_garbage(text: str, told: str) -> None:
    async def scene() -> None:
        async with hosted() as probe:
            await probe.ready()
            error = await failure(probe, text)
            assert error.code == "plugin_garbled"
            assert told in error.sentence
            await assert_works(probe)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("another schema", "'keypoints'; its manifest says 'vector'"),
        ("no feature", "answered interpret with a dict"),
        ("short", "do not fit"),
    ],
)
def test_a_plugin_whose_feature_is_none(text: str, told: str) -> None:
    async def scene() -> None:
        async with hosted() as probe:
            with pytest.raises(PluginFailed, match=told):
                await probe.interpret({"sum": np.zeros(1), "text": np.frombuffer(text.encode(), np.uint8)})
            await assert_works(probe)

    asyncio.run(scene())


def test_a_plugin_that_starts_processes_takes_them_along() -> None:
    async def scene() -> None:
        async with hosted(limits=QUICK) as probe:
            await probe.ready()
            await probe.prepare(TextMedia("fork"))
            pid = await pid_of(probe)
            (grandchild,) = psutil.Process(pid).children()
            assert (await failure(probe, "loop")).code == "plugin_hung"
            wait_until(lambda: has_ended(grandchild))

    asyncio.run(scene())


def test_a_plugin_that_is_killed_from_outside_loses_one_call() -> None:
    async def scene() -> None:
        async with hosted() as probe:
            os.kill(await pid_of(probe), signal.SIGKILL)
            with pytest.raises(PluginFailed) as caught:
                await assert_works(probe)
            assert caught.value.code == "plugin_died"
            await assert_works(probe)

    asyncio.run(scene())


def test_a_plugin_that_prints_a_lot_fills_no_log() -> None:
    async def scene() -> None:
        async with hosted(limits=HostLimits()) as probe:
            await probe.prepare(TextMedia("print"))
            await assert_works(probe)

    with structlog.testing.capture_logs() as entries:
        asyncio.run(scene())
        wait_until(lambda: len([entry for entry in entries if entry["event"] == "plugin_output"]) >= 60)
    lines = [entry["line"] for entry in entries if entry["event"] == "plugin_output"]
    assert lines[0].startswith("line 0 xxx")
    assert len(lines) == 60
    assert max(map(len, lines)) == 300


def test_after_five_failures_in_a_row_calls_fail_at_once_until_a_probe_succeeds() -> None:
    async def scene() -> None:
        now = [100.0]
        source = PluginSource(target="hosted_probes:Probe")
        probe = HostedPlugin(source, PATIENT, clock=lambda: now[0])
        try:
            await assert_works(probe)
            for _ in range(5):
                assert (await failure(probe, "exit")).code == "plugin_died"
            starts = probe.status.starts
            started = time.perf_counter()
            for _ in range(100):
                error = await failure(probe, "abcd")
                assert error.code == "plugin_suspended"
            assert time.perf_counter() - started < 0.5
            assert "exit code 7" in error.sentence
            assert probe.status.starts == starts
            assert probe.status.pid is None

            now[0] += 2.1  # the pause is over: started again beside the stream, which does not wait for it
            assert "started again" in (await failure(probe, "abcd")).sentence
            await probe.ready()
            assert (await failure(probe, "raise")).code == "plugin_raised"  # the probe
            assert "tried again in 4 s" in (await failure(probe, "abcd")).sentence
            now[0] += 4.1
            await assert_works(probe)
            assert probe.status.failures_in_a_row == 0
            await assert_works(probe)
        finally:
            probe.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("Broken", "plugin_unloadable", "RuntimeError: no such weights"),
        ("Missing", "plugin_unloadable", "has no attribute 'Missing'"),
        ("Sleeper", "plugin_hung", "to load"),
        ("Strange", "plugin_unloadable", "'../strange'"),
    ],
)
def test_a_plugin_that_does_not_load_says_why_and_is_left_alone(name: str, code: str, told: str) -> None:
    async def scene() -> None:
        limits = HostLimits(start_timeout_s=1.5 if name == "Sleeper" else 20)
        async with hosted(name, limits) as plugin:
            with pytest.raises(PluginFailed) as caught:
                await plugin.ready()
            assert caught.value.code == code
            assert told in caught.value.sentence
            assert (await failure(plugin, "abcd")).code == "plugin_suspended"

    asyncio.run(scene())


def test_a_plugin_that_comes_back_as_another_is_not_taken_for_itself() -> None:
    async def scene() -> None:
        async with hosted("Fickle") as plugin:
            await plugin.ready()
            assert (await failure(plugin, "exit")).code == "plugin_died"
            assert "another manifest" in (await failure(plugin, "abcd")).sentence

    asyncio.run(scene())


def test_those_who_wait_are_bounded_and_served_in_order() -> None:
    async def scene() -> None:
        async with hosted(limits=HostLimits(max_waiting=3)) as probe:
            await probe.ready()
            done: list[str] = []

            async def call(text: str) -> None:
                await probe.prepare(TextMedia(text))
                done.append(text)

            waiting = [asyncio.create_task(call(text)) for text in ("sleep 0.2", "b", "a")]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="3 calls wait"):
                await probe.prepare(TextMedia("c"))
            await asyncio.gather(*waiting)
            assert done == ["sleep 0.2", "b", "a"]

    asyncio.run(scene())


def test_a_caller_who_gives_up_leaves_a_plugin_that_works() -> None:
    async def scene() -> None:
        async with hosted(limits=HostLimits()) as probe:
            await probe.ready()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await probe.prepare(TextMedia("sleep 60"))
            await assert_works(probe)
            assert probe.status.failures_in_a_row == 0

    asyncio.run(scene())


def test_closing_from_another_thread_ends_calls_and_process() -> None:
    async def scene() -> None:
        plugin = HostedPlugin(PluginSource(target="hosted_probes:Probe"), HostLimits())
        pid = await pid_of(plugin)
        calls = [asyncio.create_task(plugin.prepare(TextMedia("sleep 60"))) for _ in range(3)]
        await asyncio.sleep(0.05)
        threading.Thread(target=plugin.close).start()
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, PluginFailed)
            assert result.code == "plugin_stopped"
        wait_until(lambda: not psutil.pid_exists(pid))
        assert (await failure(plugin, "abcd")).code == "plugin_stopped"
        plugin.close()

    asyncio.run(scene())


def test_closing_while_it_loads() -> None:
    async def scene() -> None:
        plugin = HostedPlugin(PluginSource(target="hosted_probes:Sleeper"), HostLimits())
        loading = asyncio.create_task(plugin.ready())
        await asyncio.to_thread(wait_until, lambda: plugin.status.pid is not None)
        pid = plugin.status.pid
        threading.Thread(target=plugin.close).start()
        with pytest.raises(PluginFailed, match="dropped"):
            await loading
        wait_until(lambda: not psutil.pid_exists(pid))

    asyncio.run(scene())
