"""The parent's handle on one decode child: start, one exchange at a time, kill."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from concurrent.futures import Executor
from typing import Any

import msgspec
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected, Retryable, UsageError
from model_plugins.hosting.channel import Channel
from model_plugins.hosting.spawning import spawn
from pipeline.media.medium import Prepared, medium_of
from pipeline.media.wire import MEDIUM, Reply, Request, Setup, SharedMemory

_encoder = msgspec.msgpack.Encoder()
_replies = msgspec.msgpack.Decoder(Reply)


class ChildLost(Exception):
    """The child died or was too slow. `code`: `decoder_died` or `decoding_timed_out`; `how`: for people."""

    def __init__(self, code: str, how: str) -> None:
        super().__init__(code, how)
        self.code = code
        self.how = how


class DecodeChild:
    """A child that is started at once and may be awaited later.

    Args:
        setup: what it loads.
        spawner: one thread that lives as long as the children do: the kernel counts the end of the *thread* that
            started a child as its parent's death. It also keeps fork and wait off the event loop.
    """

    def __init__(self, setup: Setup, spawner: Executor) -> None:
        self._limits = setup.limits
        self._spawner = spawner
        self._memory = SharedMemory.create()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = Channel(ours)
        self._channel.send(_encoder.encode(setup))
        self._is_ready = False
        self.is_usable = True
        self._process = spawner.submit(spawn, "pipeline.media.child", theirs, self._memory.fd)

    @property
    def pid(self) -> int | None:
        """None before it was started."""
        return self._process.result().pid if self._process.done() and not self._process.exception() else None

    async def ready(self) -> None:
        """Wait until the plug-ins are loaded; a wait that is cancelled can be taken up again.

        Raises:
            UsageError: a plug-in cannot be loaded.
            Retryable: the child did not start.
        """
        if self._is_ready:
            return
        try:
            async with asyncio.timeout(self._limits.start_timeout_s):
                await asyncio.shield(asyncio.wrap_future(self._process))
                reply = await self._receive()
        except (ChildLost, TimeoutError, OSError, subprocess.SubprocessError) as error:
            self.is_usable = False
            raise Retryable(f"the decode child does not start: {error!r}") from error
        if reply.status != "ready":
            self.is_usable = False
            raise UsageError(f"the decode child cannot load the plug-ins: {reply.message}", "sosie plugin list")
        self._is_ready = True

    async def prepare(self, request: Request) -> Prepared:
        """One exchange. After ChildLost, or when cancelled, the child is not usable any more: kill it.

        Raises:
            ChildLost: it died, ran out of memory or exceeded the time limit.
            Rejected: the medium is bad.
            Permanent: a plug-in failed.
        """
        self.is_usable = False  # until it has answered
        try:
            self._channel.send(_encoder.encode(request))
            async with asyncio.timeout(self._limits.timeout_s):
                reply = await self._receive()
        except TimeoutError as error:
            raise ChildLost(
                "decoding_timed_out", f"takes longer than {self._limits.timeout_s:g} s to decode"
            ) from error
        except OSError as error:
            raise ChildLost("decoder_died", "makes the decoder crash") from error
        if reply.status == "out_of_memory":
            megabytes = self._limits.memory_bytes // 1024**2
            raise ChildLost("decoder_died", f"needs more than {megabytes} MiB of memory to decode")
        self.is_usable = True
        if reply.status == "rejected":
            raise Rejected(reply.code, reply.message)
        if reply.status != "prepared":
            raise Permanent(reply.message)
        return self._prepared(reply)

    async def _receive(self) -> Reply:
        message = await self._channel.receive()
        if not message:
            raise ChildLost("decoder_died", "makes the decoder crash")
        return _replies.decode(message)

    def _prepared(self, reply: Reply) -> Prepared:
        tensors: dict[str, dict[str, NDArray[Any]]] = {plugin: {} for plugin in (*reply.plugins, MEDIUM)}
        for ref, array in zip(reply.arrays, self._memory.read(reply.arrays), strict=True):
            tensors[ref.plugin][ref.name] = array
        own = tensors.pop(MEDIUM)
        prepared = Prepared(reply.sha256, tensors, reply.width, reply.height, reply.duration, reply.failures)
        prepared.stages = reply.stages
        if own:
            prepared.encoded, prepared.media = medium_of(own, reply.width, reply.height, reply.duration)
        return prepared

    def kill(self) -> None:
        """End the process; an exchange that is awaited ends with ChildLost. Needs the spawner."""
        self.is_usable = False
        self._spawner.submit(self._reap)

    def release(self) -> None:
        """Free socket and memory, once nothing awaits them."""
        self._channel.close()
        self._memory.close()

    def _reap(self) -> None:
        """In the spawner's thread, so behind the start."""
        if self._process.exception() is None:
            process = self._process.result()
            process.kill()
            process.wait()
