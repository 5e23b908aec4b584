"""The decode child may crash, hang, be killed or run out of memory: only the culprit suffers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import media_probes as probes
import numpy as np
import psutil
import pytest
from PIL import Image

from materials.errors import Rejected, Retryable, UsageError
from model_plugins.protocol import ImageMedia
from model_plugins.runtime.wants import Wants
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool, Prepared

pytestmark = pytest.mark.fault
PROBE = ("media_probes:Probe",)
MOODS = ("INNOCENT", "CRASH", "HANG", "EAT_MEMORY", "RAISE", "WAIT_ONCE", "NOTHING")


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for mood in MOODS:
        Image.new("RGB", (8, 6), (getattr(probes, mood), 7, 9)).save(tmp_path / f"{mood}.png")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SECRET_TOKEN", "not for decoders")
    return tmp_path


@contextlib.asynccontextmanager
async def pool_of(size: int = 1, **limits: float) -> AsyncIterator[MediaPool]:
    pool = MediaPool(PROBE, MediaAccess(), MediaLimits(**limits), size)  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        pool.close()


async def rejection(pool: MediaPool, name: str, base: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        await pool.prepare(name, base, "image")
    return caught.value


def assert_right(prepared: Prepared) -> None:
    assert prepared.tensors["probe"]["mean"].tolist() == [[0, 7, 9]]


def test_a_medium_is_prepared_in_another_process(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of() as pool:
            prepared = await pool.prepare("INNOCENT.png", pictures, "image")
            assert_right(prepared)
            assert prepared.sha256 == hashlib.sha256((pictures / "INNOCENT.png").read_bytes()).digest()
            assert (prepared.width, prepared.height, prepared.duration) == (8, 6, 0.0)
            assert b"SECRET_TOKEN" not in prepared.tensors["probe"]["environment"]
            assert (await pool.prepare("NOTHING.png", pictures, "image")).tensors == {}
            (pid,) = pool.pids
            assert pid != os.getpid()
        assert not psutil.pid_exists(pid)
        with pytest.raises(Retryable, match="closed"):
            await pool.prepare("INNOCENT.png", pictures, "image")

    asyncio.run(scene())


def test_job_survives_decoder_killed_mid_image(pictures: Path) -> None:
    """Killed from outside while it works on an innocent picture: the second attempt succeeds, and so does the rest."""
    os.mkfifo(pictures / "begun")
    os.mkfifo(pictures / "go")

    def kill_once_begun() -> None:
        os.kill(int((pictures / "begun").read_text()), signal.SIGKILL)
        (pictures / "begun").read_text()  # the second attempt has begun
        (pictures / "go").write_text("go")

    async def scene() -> None:
        async with pool_of() as pool:
            killer = asyncio.get_running_loop().run_in_executor(None, kill_once_begun)
            victim, *others = await asyncio.gather(
                pool.prepare("WAIT_ONCE.png", pictures, "image"),
                *(pool.prepare("INNOCENT.png", pictures, "image") for _ in range(20)),
            )
            await killer
            assert victim.tensors["probe"]["mean"].tolist() == [[probes.WAIT_ONCE, 7, 9]]
            for other in others:
                assert_right(other)

    asyncio.run(scene())


def test_a_crash_rejects_the_culprit_alone(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of(2) as pool:
            results = await asyncio.gather(
                *(pool.prepare("CRASH.png" if turn == 5 else "INNOCENT.png", pictures, "image") for turn in range(30)),
                return_exceptions=True,
            )
            culprit = results.pop(5)
            assert isinstance(culprit, Rejected)
            assert culprit.code == "decoder_died"
            assert "'CRASH.png'" in culprit.sentence
            for result in results:
                assert isinstance(result, Prepared)
                assert_right(result)

    asyncio.run(scene())


def test_decoder_that_hangs_is_replaced(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of(timeout_s=0.5) as pool:
            before = await pool.prepare("INNOCENT.png", pictures, "image")
            (first,) = pool.pids
            hung, after = await asyncio.gather(
                rejection(pool, "HANG.png", pictures), pool.prepare("INNOCENT.png", pictures, "image")
            )
            assert hung.code == "decoding_timed_out"
            assert_right(before)
            assert_right(after)
            assert first not in pool.pids
            assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE

    asyncio.run(scene())


def test_a_memory_bomb_goes_off_in_the_child(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of(memory_bytes=2 * 1024**3) as pool:
            bomb = await rejection(pool, "EAT_MEMORY.png", pictures)
            assert bomb.code == "decoder_died"
            assert "2048 MiB" in bomb.sentence
            assert_right(await pool.prepare("INNOCENT.png", pictures, "image"))

    asyncio.run(scene())


def test_a_child_that_died_while_idle_is_nobodys_fault(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of() as pool:
            await pool.prepare("INNOCENT.png", pictures, "image")
            os.kill(pool.pids[0], signal.SIGKILL)
            assert_right(await pool.prepare("INNOCENT.png", pictures, "image"))
            assert_right(await pool.prepare("INNOCENT.png", pictures, "image"))

    asyncio.run(scene())


def test_a_call_that_is_cancelled_leaves_no_answer_behind(pictures: Path) -> None:
    os.mkfifo(pictures / "begun")
    os.mkfifo(pictures / "go")  # nobody writes: the child waits until it is killed

    async def scene() -> None:
        async with pool_of() as pool:
            call = asyncio.create_task(pool.prepare("WAIT_ONCE.png", pictures, "image"))
            await asyncio.get_running_loop().run_in_executor(None, (pictures / "begun").read_text)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert_right(await pool.prepare("INNOCENT.png", pictures, "image"))

    asyncio.run(scene())


def test_closing_ends_a_call_that_waits(pictures: Path) -> None:
    os.mkfifo(pictures / "begun")
    os.mkfifo(pictures / "go")  # nobody writes: the child waits until it is killed

    async def scene() -> None:
        async with pool_of() as pool:
            call = asyncio.create_task(pool.prepare("WAIT_ONCE.png", pictures, "image"))
            await asyncio.get_running_loop().run_in_executor(None, (pictures / "begun").read_text)
            pool.close()
            with pytest.raises(Retryable, match="closed"):
                await call

    asyncio.run(scene())


def test_refusals_and_plugin_faults_cost_no_child(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of() as pool:
            await pool.prepare("INNOCENT.png", pictures, "image")
            pids = pool.pids
            for uri, code in {
                "../x": "outside_roots",
                "nope.png": "missing_file",
                "http://127.0.0.1/x": "private_address",
                "x" * 9000: "bad_path",
                "\ud800": "bad_path",
            }.items():
                assert (await rejection(pool, uri, pictures)).code == code
            prepared = await pool.prepare("RAISE.png", pictures, "image")
            assert prepared.failures["probe"].reason == 'plugin_failed: KeyError: "the plug-in\'s own fault"'
            assert prepared.tensors == {}
            with pytest.raises(Rejected, match="not_a_video"):
                await pool.prepare("INNOCENT.png", pictures, "video")
            assert pool.pids == pids

    asyncio.run(scene())


def test_the_medium_and_the_file_come_along_when_they_are_wanted(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of() as pool:
            plain = await pool.prepare("INNOCENT.png", pictures, "image")
            assert (plain.media, plain.encoded) == (None, None)
            full = await pool.prepare("INNOCENT.png", pictures, "image", Wants(media=True, encoded=True))
            assert isinstance(full.media, ImageMedia)
            assert full.media.rgb[0, 0].tolist() == [0, 7, 9]
            assert full.encoded == (pictures / "INNOCENT.png").read_bytes()
            assert_right(full)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("plugin", "message"), [("media_probes:Broken", "no such weights"), ("no-such-plugin", "unknown plug-in")]
)
def test_a_plugin_that_cannot_be_loaded_is_a_mistake_of_usage(pictures: Path, plugin: str, message: str) -> None:
    async def scene() -> None:
        pool = MediaPool([plugin], MediaAccess(), MediaLimits())
        try:
            with pytest.raises(UsageError, match=message):
                await pool.prepare("INNOCENT.png", pictures, "image")
        finally:
            pool.close()

    asyncio.run(scene())


PARENT = """
import asyncio, sys
from pathlib import Path
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool

async def scene():
    pool = MediaPool(["media_probes:Probe"], MediaAccess(), MediaLimits())
    call = asyncio.create_task(pool.prepare("HANG.png", Path(sys.argv[1]), "image"))
    while not pool.pids:
        await asyncio.sleep(0.01)
    print(pool.pids[0], flush=True)
    await call

asyncio.run(scene())
"""


def test_children_end_with_a_parent_that_is_killed(pictures: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT, str(pictures)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(10)
    assert not child.is_running()


def test_a_jpeg_with_a_hole_is_refused_though_its_structure_is_whole(pictures: Path) -> None:
    """libjpeg fills what is missing, and says so to standard error alone."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (240, 320, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", quality=90)
    data = buffer.getvalue()
    (pictures / "whole.jpg").write_bytes(data)
    (pictures / "hole.jpg").write_bytes(data[:10_000] + data[-10_000:])

    async def scene() -> None:
        async with pool_of() as pool:
            for _ in range(2):
                assert (await rejection(pool, "hole.jpg", pictures)).code == "corrupt_image"
                assert "mean" in (await pool.prepare("whole.jpg", pictures, "image")).tensors["probe"]

    asyncio.run(scene())


def test_the_child_is_confined(pictures: Path) -> None:
    async def scene() -> None:
        async with pool_of() as pool:
            await pool.prepare("INNOCENT.png", pictures, "image")
            child = psutil.Process(pool.pids[0])
            assert child.rlimit(psutil.RLIMIT_NOFILE)[1] <= 256
            assert child.rlimit(psutil.RLIMIT_AS)[1] == MediaLimits().memory_bytes
            assert child.rlimit(psutil.RLIMIT_CPU)[0] < 60
            assert child.rlimit(psutil.RLIMIT_CORE)[1] == 0

    asyncio.run(scene())


def test_the_child_has_no_network_where_the_kernel_grants_it_none() -> None:
    script = (
        "import socket; from pipeline.media.confinement import leave_network\n"
        "listener = socket.create_server(('127.0.0.1', 0)); left = leave_network()\n"
        "try:\n    socket.create_connection(listener.getsockname(), 5); print(left, True)\n"
        "except OSError:\n    print(left, False)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() in (["True", "False"], ["False", "True"])
