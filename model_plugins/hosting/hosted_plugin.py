"""A third-party plug-in as the worker calls it: in a process of its own, with time limits, restarts and a circuit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from materials.errors import Overloaded, Rejected
from materials.records import Feature
from model_plugins.hosting.checks import check_feature, check_manifest, check_needs, checked_rejection
from model_plugins.hosting.circuit import Circuit
from model_plugins.hosting.errors import PluginFailed
from model_plugins.hosting.limits import HostLimits, PluginSource
from model_plugins.hosting.process import HostProcess, Lost
from model_plugins.hosting.wire import Ask, Named, Reply, pack_features, pack_media
from model_plugins.protocol import Manifest, Media, Tensors

log = structlog.get_logger(__name__)

_TOLD = 1200
"""Characters of a plug-in's words that go into an error."""
Pack = Callable[[int], tuple[Ask, Named]]


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a hosted plug-in does. `suspended_s`: until it is tried again; `last_error`: `code: sentence` or empty."""

    pid: int | None
    starts: int
    calls: int
    failures_in_a_row: int
    suspended_s: float
    last_error: str


class HostedPlugin:
    """Belongs to one event loop; `close` may be called from any thread. The process starts with the first call.

    One exchange at a time; those that wait are served in the order in which they came.

    Args:
        source: where its code is.
        limits: what it may cost.
        name: for logs and errors until its manifest is known.
        clock: monotonic seconds.
    """

    hosted = True

    def __init__(
        self,
        source: PluginSource,
        limits: HostLimits | None = None,
        *,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.name = name or source.target
        self._limits = limits or HostLimits()
        self._circuit = Circuit(self._limits, clock)
        self._helper = ThreadPoolExecutor(1, f"host-{self.name}")
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: HostProcess | None = None
        self._starting: asyncio.Task[HostProcess] | None = None
        self._welcome: Reply | None = None
        self._closed = self._disposed = False
        self._waiting = self._starts = self._calls = 0
        self._last_error = ""

    @property
    def manifest(self) -> Manifest:
        """Known once `ready` has returned.

        Raises:
            RuntimeError: it has not.
        """
        if self._welcome is None or self._welcome.manifest is None:
            raise RuntimeError(f"plug-in {self.name} has not been awaited yet")
        return self._welcome.manifest

    @property
    def capabilities(self) -> frozenset[str]:
        """Of `fuses` and `decodes_on_server`; empty before `ready`."""
        return frozenset(self._welcome.capabilities if self._welcome else ())

    @property
    def needs(self) -> tuple[str, ...] | None:
        """Of a plug-in that fuses: the names of those whose features it takes. None of any other."""
        return self._welcome.needs if self._welcome and "fuses" in self._welcome.capabilities else None

    @property
    def decodes_on_server(self) -> bool:
        """Whether it wants the file's bytes instead of pixels."""
        return "decodes_on_server" in self.capabilities

    @property
    def status(self) -> HostStatus:
        """For metrics and lists."""
        return HostStatus(
            pid=self._process.pid if self._process else None,
            starts=self._starts,
            calls=self._calls,
            failures_in_a_row=self._circuit.failures,
            suspended_s=self._circuit.seconds_left,
            last_error=self._last_error,
        )

    async def ready(self) -> Manifest:
        """Wait until it is loaded.

        Raises:
            PluginFailed: `plugin_unloadable`, `plugin_hung`, `plugin_died`, `plugin_garbled`, `plugin_suspended`.
        """
        self._loop = asyncio.get_running_loop()
        self._check_open()
        if self._circuit.seconds_left > 0:
            self._suspended(f"is tried again in {self._circuit.seconds_left:.0f} s")
        await self._started()
        return self.manifest

    async def prepare(self, media: Media) -> dict[str, NDArray[Any]] | None:
        """See `Plugin.prepare`.

        Raises:
            Rejected: by the plug-in.
            PluginFailed: it failed, in any way.
            Overloaded: too many calls wait for it.
        """
        return await self._arrays(lambda number: pack_media(number, media))

    async def prepare_encoded(self, data: bytes) -> dict[str, NDArray[Any]] | None:
        """See `DecodesOnServer.prepare_encoded`; raises as `prepare`."""
        array = np.frombuffer(data, np.uint8)
        return await self._arrays(lambda number: (Ask(number, "prepare_encoded"), [("", "data", array)]))

    async def interpret(self, outputs: Tensors) -> Feature:
        """See `Plugin.interpret`; raises as `prepare`."""
        arrays = [("", name, array) for name, array in outputs.items()]
        feature = await self._feature(lambda number: (Ask(number, "interpret"), arrays))
        if feature is None:
            raise PluginFailed("plugin_garbled", self.name, "answered interpret with nothing")
        return feature

    async def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        """See `Fuses.fuse`; raises as `prepare`."""
        return await self._feature(lambda number: pack_features(number, features, text))

    def close(self) -> None:
        """End the process; calls that wait fail with `plugin_stopped`. From any thread; harmless twice."""
        if self._closed:
            return
        self._closed = True
        process, loop = self._process, self._loop
        if process is not None:
            process.kill()
        if loop is not None and loop.is_running():
            try:
                loop.call_soon_threadsafe(self._dispose)
                return
            except RuntimeError:  # it was closed just now
                log.debug("loop_closed_first", plugin=self.name)
        self._dispose()

    # -- one call

    async def _arrays(self, pack: Pack) -> dict[str, NDArray[Any]] | None:
        reply, arrays = await self._call(pack, self._limits.prepare_timeout_s, ("arrays", "nothing"))
        if reply.status == "nothing":
            return None
        return {ref.name: array for ref, array in zip(reply.arrays, arrays, strict=True)}

    async def _feature(self, pack: Pack) -> Feature | None:
        reply, arrays = await self._call(pack, self._limits.interpret_timeout_s, ("feature", "nothing"))
        return Feature.of(reply.arrays[0].name, arrays[0]) if reply.status == "feature" else None

    async def _call(self, pack: Pack, seconds: float, expected: tuple[str, ...]) -> tuple[Reply, list[NDArray[Any]]]:
        self._loop = asyncio.get_running_loop()
        self._check_open()
        self._admit(entering=True)
        if self._waiting >= self._limits.max_waiting:
            raise Overloaded(f"{self._waiting} calls wait for plug-in {self.name}", retry_after=seconds)
        self._waiting += 1
        try:
            async with self._lock:
                self._check_open()
                self._admit()
                process = await self._started()
                self._calls += 1
                return await self._exchange(process, pack, seconds, expected)
        finally:
            self._waiting -= 1

    async def _exchange(
        self, process: HostProcess, pack: Pack, seconds: float, expected: tuple[str, ...]
    ) -> tuple[Reply, list[NDArray[Any]]]:
        ask, packed = pack(process.next_number())
        try:
            reply, arrays = await process.exchange(ask, packed, seconds)
            if reply.status == "feature":
                check_feature(reply.arrays, self.manifest)
            elif reply.status not in (*expected, "rejected", "failed", "unusable"):
                raise ValueError(f"answered {ask.step} with {reply.status!r}")
        except Lost as lost:
            self._lose(process, lost)
        except ValueError as error:
            self._lose(process, Lost("plugin_garbled", str(error)))
        except asyncio.CancelledError:
            self._discard(process)  # it still works on what nobody waits for
            self._begin_start()
            raise
        if reply.status == "failed":
            self._fail(PluginFailed("plugin_raised", self.name, f"raised {_told(reply)} in {ask.step}"))
        if reply.status == "unusable":
            self._fail(PluginFailed("plugin_garbled", self.name, reply.message[:_TOLD]))
        self._circuit.succeeded()
        if reply.status == "rejected":
            raise Rejected(*checked_rejection(reply.code, reply.message))
        return reply, arrays

    def _admit(self, entering: bool = False) -> None:
        """Refuse at once while the circuit is open; when its pause is over, let one call probe a loaded plug-in."""
        if self._circuit.is_closed:
            return
        left = self._circuit.seconds_left
        if left > 0:
            self._suspended(f"is tried again in {left:.0f} s")
        if entering and self._lock.locked():
            self._suspended("is being tried again")
        if self._process is None or self._starting is not None:
            self._begin_start()
            self._suspended("is being started again")

    def _suspended(self, when: str) -> NoReturn:
        sentence = f"failed {self._circuit.failures} times in a row and {when}; last: {self._last_error}"
        raise PluginFailed("plugin_suspended", self.name, sentence)

    def _lose(self, process: HostProcess, lost: Lost) -> NoReturn:
        self._discard(process)
        self._check_open()
        failed = PluginFailed(lost.code, self.name, lost.sentence)
        self._fail(failed, lost=True)

    def _fail(self, failed: PluginFailed, *, lost: bool = False) -> NoReturn:
        self._note(failed)
        self._circuit.failed(lost=lost)
        if not self._circuit.is_closed:
            log.warning("plugin_suspended", plugin=self.name, seconds=self._circuit.seconds_left)
        elif lost:
            self._begin_start()
        raise failed

    def _note(self, failed: PluginFailed) -> None:
        self._last_error = f"{failed.code}: {failed.sentence}"
        log.warning("plugin_failed", plugin=self.name, code=failed.code, error=failed.sentence)

    # -- the process

    async def _started(self) -> HostProcess:
        """The process with its plug-in loaded."""
        if self._process is None and self._starting is None:
            self._begin_start()
        starting = self._starting
        if starting is not None:
            try:
                return await asyncio.shield(starting)
            except asyncio.CancelledError:
                if starting.cancelled():  # by `close`, and not the one who waits here
                    self._check_open()
                raise
        assert self._process is not None  # noqa: S101 - one of the two
        return self._process

    def _begin_start(self) -> None:
        if self._starting is None and self._process is None and not self._closed and self._loop is not None:
            self._starting = self._loop.create_task(self._start())
            # perhaps nobody awaits it: its failure is noted and counted anyway
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _start(self) -> HostProcess:
        try:
            await asyncio.sleep(self._circuit.restart_delay)
            self._check_open()
            self._starts += 1
            self._process = HostProcess(self.name, self.source, self._limits, self._helper)
            self._welcome = self._checked(await self._process.ready())
            self.name = self.manifest.name
            return self._process
        except (Lost, OSError) as error:
            self._discard(self._process)
            self._check_open()
            lost = error if isinstance(error, Lost) else Lost("plugin_died", f"could not be started: {error!r}")
            failed = PluginFailed(lost.code, self.name, lost.sentence)
            self._note(failed)
            self._circuit.failed(lost=True, hopeless=True)
            raise failed from error
        except asyncio.CancelledError:
            self._discard(self._process)
            raise
        finally:
            self._starting = None

    def _checked(self, reply: Reply) -> Reply:
        """The welcome of a loaded plug-in; it stays what it was at its first start."""
        if reply.status == "unloadable" or reply.manifest is None:
            raise Lost("plugin_unloadable", f"cannot be loaded from {self.source.target}: {_told(reply)}")
        try:
            check_manifest(reply.manifest)
            check_needs(reply.needs)
        except Exception as error:
            raise Lost("plugin_unloadable", str(error)) from error
        if self._welcome is not None and reply != self._welcome:
            raise Lost("plugin_garbled", "has another manifest than at its first start")
        return reply

    def _discard(self, process: HostProcess | None) -> None:
        if process is None:
            return
        if self._process is process:
            self._process = None
        if not self._disposed:
            process.kill()
            process.release()

    def _dispose(self) -> None:
        """The end of `close`, where nothing else runs."""
        if self._starting is not None and self._loop is not None and not self._loop.is_closed():
            self._starting.cancel()
        if self._process is not None:
            self._process.kill()
            self._process.release()
            self._process = None
        self._disposed = True
        self._helper.shutdown(wait=False)

    def _check_open(self) -> None:
        if self._closed:
            raise PluginFailed("plugin_stopped", self.name, "was dropped from this job")


def _told(reply: Reply) -> str:
    where = f" ({reply.where})" if reply.where else ""
    return f"{reply.code}: {reply.message}{where}"[:_TOLD]
