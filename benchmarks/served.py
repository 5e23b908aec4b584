"""A model server by itself, without the rest of the stack, and plug-ins asked one medium at a time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from deploy.model_server.catalogue import served
from deploy.parts import triton
from deploy.parts.part import Site, Unhealthy
from deploy.ports import choose
from materials.errors import Retryable, SosieError
from materials.records import Feature
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.protocol import Media, Plugin, TextMedia, VideoMedia
from model_plugins.runtime import PluginRuntime

Ask = Callable[[Media], Feature | None]
"""One medium -> the plug-in's feature; None: it has nothing to say."""


@contextlib.contextmanager
def model_server(extras: Collection[str] = (), timeout: float = 90) -> Iterator[str]:
    """A Triton of its own for the block; its gRPC address.

    Raises:
        UsageError: the extras' packages cannot be installed here.
        SosieError: it does not become ready; says its log's last line.
    """
    roles = ("grpc", "http", "metrics")
    with tempfile.TemporaryDirectory(prefix="sosie-models-") as folder:
        ports = dict(zip(roles, choose(3, random.Random()), strict=True))
        site = Site(Path(folder), {triton.NAME: ports}, extras=tuple(extras))
        (site.state / "run").mkdir()
        launch = triton.launch(site)
        log = site.state / "triton.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                launch.argv,
                env=launch.environment,
                cwd=launch.cwd,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        try:
            _await(site, process, timeout, log)
            yield site.local(triton.NAME, "grpc")
        except Retryable as error:
            if process.poll() is None:
                raise
            raise SosieError(f"the model server ended with {process.returncode}: {_last_line(log)}") from error
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def asking(plugin: Plugin, address: str, deadline: float = 60.0) -> Iterator[Ask]:
    """The plug-in's way through the platform's own runtime: prepare, the served model, interpret."""
    model = plugin.manifest.model
    directory = StaticDirectory({model.name: (address,)} if model else {})
    name, key = plugin.manifest.name, plugin.manifest.key

    async def made() -> PluginRuntime:
        return PluginRuntime({name: plugin}, directory, deadline=deadline)

    with asyncio.Runner() as loop:
        runtime = loop.run(made())

        def ask(media: Media) -> Feature | None:
            tensors = plugin.prepare(media)
            if tensors is None:
                return None
            kind = "text" if isinstance(media, TextMedia) else "video" if isinstance(media, VideoMedia) else "image"
            return loop.run(runtime.run(kind, {name: tensors})).features[key]

        try:
            yield ask
        finally:
            loop.run(runtime.close())


def _await(site: Site, process: subprocess.Popen[bytes], timeout: float, log: Path) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            triton.check(site)
        except (OSError, Unhealthy) as error:
            if process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
                continue
            names = ", ".join(model.name for model in served(site.extras))
            raise SosieError(f"the model server for {names} is not ready ({error}): {_last_line(log)}") from error
        return


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1][:300]
