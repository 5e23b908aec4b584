"""A hosted plug-in's process: `python -m model_plugins.hosting.child SOCKET MEMORY PARENT`, not started by hand.

It runs foreign code and may end in any way. Nothing is kept in it that is missed.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import resource
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Rejected
from materials.records import Feature
from model_plugins.hosting.ending import end_with_parent
from model_plugins.hosting.shared_memory import MAX_MESSAGE, ArrayRef, SharedMemory
from model_plugins.hosting.wire import Ask, Capability, Named, Reply, Setup, unpack_features, unpack_media
from model_plugins.protocol import DecodesOnServer, Fuses, Manifest, Plugin

_TOLD = 500
"""Characters of an exception that travel."""

_asks = msgspec.msgpack.Decoder(Ask)
_encoder = msgspec.msgpack.Encoder()


def main(arguments: list[str]) -> None:
    """Serve until the parent closes the socket."""
    for number in arguments[:2]:
        os.set_inheritable(int(number), False)  # what the plug-in starts shall not hold them
    connection = socket.socket(fileno=int(arguments[0]))
    end_with_parent(connection, int(arguments[2]))
    faulthandler.enable()
    memory = SharedMemory(int(arguments[1]))
    setup = msgspec.msgpack.decode(connection.recv(MAX_MESSAGE), type=Setup)
    _limit(setup)
    plugin, reply = _load(setup)
    connection.send(_encoded(reply))
    if plugin is None:
        return
    gc.collect()
    gc.freeze()
    with suppress(ConnectionError):  # the parent hung up
        while message := connection.recv(MAX_MESSAGE):
            reply = answer(plugin, memory, _asks.decode(message))
            connection.send(_encoded(reply))
            if reply.status == "out_of_memory":
                return


def answer(plugin: Plugin, memory: SharedMemory, ask: Ask) -> Reply:
    """The reply to one call; whatever the plug-in raises is told."""
    try:
        result = _run(plugin, ask, memory.read(ask.arrays))
        return _result(ask, result, memory)
    except Rejected as error:
        return Reply(ask.number, "rejected", code=str(error.code)[:100], message=str(error.sentence)[:_TOLD])
    except MemoryError:
        return Reply(ask.number, "out_of_memory")
    except BaseException as error:  # foreign code: sys.exit() too is only its own end
        return _failure(ask.number, "failed", error)


def _run(plugin: Any, ask: Ask, arrays: list[NDArray[Any]]) -> Any:
    if ask.step == "prepare":
        return plugin.prepare(unpack_media(ask, arrays))
    if ask.step == "prepare_encoded":
        return plugin.prepare_encoded(arrays[0].tobytes())
    if ask.step == "interpret":
        return plugin.interpret({ref.name: array for ref, array in zip(ask.arrays, arrays, strict=True)})
    return plugin.fuse(*unpack_features(ask, arrays))


def _result(ask: Ask, result: Any, memory: SharedMemory) -> Reply:
    if ask.step in ("prepare", "prepare_encoded"):
        if result is None:
            return Reply(ask.number, "nothing")
        if not isinstance(result, dict) or not all(isinstance(name, str) for name in result):
            return _unusable(ask, f"a {type(result).__name__}; a dictionary of arrays, or None, is right")
        wrong = next((name for name, array in result.items() if not isinstance(array, np.ndarray)), None)
        if wrong is not None:
            return _unusable(ask, f"{wrong!r} as a {type(result[wrong]).__name__}; an array is right")
        return _sent(ask, "arrays", [("", name, array) for name, array in result.items()], memory)
    if result is None and ask.step == "fuse":
        return Reply(ask.number, "nothing")
    if not isinstance(result, Feature):
        return _unusable(ask, f"a {type(result).__name__}; a materials.records.Feature is right")
    try:
        array = result.array()
    except (TypeError, ValueError) as error:
        return _unusable(ask, f"a feature whose data do not fit its shape and dtype: {error}")
    return _sent(ask, "feature", [("", str(result.schema), array)], memory)


def _sent(ask: Ask, status: Any, arrays: Named, memory: SharedMemory) -> Reply:
    try:
        refs: tuple[ArrayRef, ...] = memory.write(arrays)
    except TypeError as error:  # Python objects
        return _unusable(ask, f"an array that cannot be sent: {error}")
    return Reply(ask.number, status, refs)


def _unusable(ask: Ask, what: str) -> Reply:
    return Reply(ask.number, "unusable", message=f"answered {ask.step} with {what}"[:_TOLD])


def _failure(number: int, status: Any, error: BaseException) -> Reply:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}: {frames[-1].line}" if frames else ""
    try:
        message = str(error)[:_TOLD]
    except Exception as worse:  # its __str__ is foreign, too
        message = f"(its __str__ raises {type(worse).__name__})"
    return Reply(number, status, code=type(error).__name__[:100], message=message, where=where[:_TOLD])


def _encoded(reply: Reply) -> bytes:
    try:
        message = _encoder.encode(reply)
    except Exception as error:  # a manifest of strange types
        return _encoder.encode(_failure(reply.number, "unloadable" if reply.number == 0 else "failed", error))
    if len(message) <= MAX_MESSAGE:
        return message
    return _encoder.encode(
        Reply(reply.number, "unusable", message="answered more names and shapes than a message holds")
    )


def _limit(setup: Setup) -> None:
    """Before foreign code is loaded."""
    for what, bound in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, setup.memory_bytes),
        (resource.RLIMIT_FSIZE, setup.memory_bytes),  # the shared memory is a file, too
        (resource.RLIMIT_NOFILE, setup.max_files),
    ):
        resource.setrlimit(what, (bound, bound))


def _load(setup: Setup) -> tuple[Plugin | None, Reply]:
    if setup.path:
        sys.path.insert(0, setup.path)
    module, _, name = setup.target.partition(":")
    try:
        plugin = getattr(importlib.import_module(module), name)()
        manifest = plugin.manifest
        if not isinstance(plugin, Plugin) or not isinstance(manifest, Manifest):
            raise TypeError(f"{setup.target} is not a plug-in: it needs manifest, prepare, interpret and examples")
        capabilities: list[Capability] = []
        needs: tuple[str, ...] = ()
        if isinstance(plugin, Fuses):
            capabilities.append("fuses")
            needs = tuple(plugin.needs)
        if isinstance(plugin, DecodesOnServer):
            capabilities.append("decodes_on_server")
    except BaseException as error:  # foreign code
        return None, _failure(0, "unloadable", error)
    return plugin, Reply(0, "ready", manifest=manifest, capabilities=tuple(capabilities), needs=needs)


if __name__ == "__main__":
    main(sys.argv[1:])
