"""The worker's handle on one hosted plug-in's process: start, one exchange at a time, kill."""

from __future__ import annotations

import asyncio
import math
import os
import select
import signal
import socket
import subprocess
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent
from model_plugins.hosting.channel import Channel
from model_plugins.hosting.checks import check_refs
from model_plugins.hosting.errors import FailureCode
from model_plugins.hosting.limits import HostLimits, PluginSource
from model_plugins.hosting.output_log import follow
from model_plugins.hosting.shared_memory import MAX_MESSAGE, ArrayRef, SharedMemory
from model_plugins.hosting.spawning import spawn
from model_plugins.hosting.wire import Ask, Named, Reply, Setup

_MODULE = "model_plugins.hosting.child"
# compiled code beside the sources would change the unpacked wheel, which is checked against its hash
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
_DYING_S = 0.5
"""Between the end of its connection and that of the process."""
_LARGE = 4 * 1024 * 1024
"""Bytes beyond which copying would hold up the event loop."""

_encoder = msgspec.msgpack.Encoder()
_replies = msgspec.msgpack.Decoder(Reply)


class Lost(Exception):
    """The process cannot be used any more: kill it. `code`, and a sentence that follows the plug-in's name."""

    def __init__(self, code: FailureCode, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence


class HostProcess:
    """A process that is started at once and may be awaited later.

    Args:
        name: for its log lines.
        source: what it loads.
        limits: what it may cost.
        helper: one thread that lives as long as the process does (see `spawn`); it also copies large arrays.
    """

    def __init__(self, name: str, source: PluginSource, limits: HostLimits, helper: Executor) -> None:
        self._limits = limits
        self._helper = helper
        self._number = 0
        self._memory = SharedMemory.create()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = Channel(ours)
        setup = Setup(source.target, source.path, limits.memory_bytes, limits.max_files)
        self._channel.send(_encoder.encode(setup))
        self._released = False
        self._process = helper.submit(_start, name, theirs, self._memory.fd)

    @property
    def pid(self) -> int | None:
        """None before it was started."""
        return self._process.result().pid if self._process.done() and not self._process.exception() else None

    async def ready(self) -> Reply:
        """Wait until the plug-in is loaded.

        Raises:
            Lost: it is not.
        """
        seconds = self._limits.start_timeout_s
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(asyncio.wrap_future(self._process))
                reply = await self._receive(0)
        except TimeoutError as error:
            raise Lost("plugin_hung", f"took longer than {seconds:g} s to load, and was killed") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise Lost("plugin_died", f"could not be started: {error!r}") from error
        if reply.status not in ("ready", "unloadable"):
            raise Lost("plugin_garbled", f"answered {reply.status!r} when it was to load")
        return reply

    def next_number(self) -> int:
        """For the next question."""
        self._number += 1
        return self._number

    async def exchange(self, ask: Ask, arrays: Named, seconds: float) -> tuple[Reply, list[NDArray[Any]]]:
        """One question and its answer, checked; the arrays are copies.

        Args:
            ask: without references; they are filled in here.
            arrays: what they refer to.
            seconds: for the answer.

        Raises:
            Lost: it died, was too slow, or answered nonsense.
            Permanent: the question cannot be sent.
        """
        large = sum(array.nbytes for _, _, array in arrays) > _LARGE
        try:
            refs = await self._aside(partial(self._memory.write, arrays), large)
            message = _encoder.encode(msgspec.structs.replace(ask, arrays=refs))
            if len(message) > MAX_MESSAGE:
                raise Permanent(f"{len(refs)} arrays have more names and shapes than a message holds")
            self._channel.send(message)
            async with asyncio.timeout(seconds):
                reply = await self._receive(ask.number)
        except TypeError as error:
            raise Permanent(f"the question cannot be sent: {error}") from error
        except TimeoutError as error:
            raise Lost("plugin_hung", f"took longer than {seconds:g} s in {ask.step}, and was killed") from error
        except (OSError, RuntimeError) as error:  # RuntimeError: closed meanwhile
            raise Lost("plugin_died", f"could not be asked to {ask.step}: {error!r}") from error
        try:
            check_refs(reply.arrays, self._limits)
            large = max((ref.offset + _bytes(ref) for ref in reply.arrays), default=0) > _LARGE
            found = await self._aside(partial(self._memory.read, reply.arrays), large)
        except (ValueError, TypeError, OverflowError, OSError, MemoryError, RuntimeError) as error:
            raise Lost("plugin_garbled", str(error)) from error
        return reply, found

    def kill(self) -> None:
        """End it and what it started; an exchange that is awaited ends with Lost. From any thread."""
        self._helper.submit(self._reap)

    def release(self) -> None:
        """Free socket and memory. In the loop's thread, or when it no longer runs; harmless twice."""
        if not self._released:
            self._released = True
            self._channel.close()
            self._helper.submit(self._memory.close)  # behind any copying

    async def _receive(self, number: int) -> Reply:
        message = await self._channel.receive()
        if not message:
            raise Lost("plugin_died", await self._epitaph())
        try:
            reply = _replies.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Lost("plugin_garbled", f"sent what cannot be read: {error}") from error
        if reply.number != number:
            raise Lost("plugin_garbled", f"sent answer {reply.number} to question {number}")
        if reply.status == "out_of_memory":
            raise Lost("plugin_died", f"needs more than {self._limits.memory_bytes // 1024**2} MiB of memory")
        return reply

    async def _epitaph(self) -> str:
        """How it ended, as far as that can be told at once."""
        code = None if self._released else await self._aside(self._exit_code, True)
        if code is None:
            return "ended its connection"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended by itself with exit code {code}"

    def _exit_code(self) -> int | None:
        """Without reaping: until then its number, and that of its group, are not given to others."""
        pid = self._process.result().pid
        watched = os.pidfd_open(pid)
        try:
            select.select([watched], [], [], _DYING_S)
        finally:
            os.close(watched)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    async def _aside(self, work: Any, really: bool) -> Any:
        """In the helper thread when it is worth a switch."""
        return await asyncio.get_running_loop().run_in_executor(self._helper, work) if really else work()

    def _reap(self) -> None:
        """In the helper's thread, so behind the start."""
        if self._process.exception() is not None:
            return
        process = self._process.result()
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own, which may outlive it
        process.wait()


def _bytes(ref: ArrayRef) -> int:
    return math.prod(ref.shape) * np.dtype(ref.dtype).itemsize


def _start(name: str, theirs: socket.socket, memory: int) -> subprocess.Popen[bytes]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        process = spawn(_MODULE, theirs, memory, output=writing, errors=writing, environment=_ENVIRONMENT)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    follow(name, reading)
    return process
