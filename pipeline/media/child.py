"""The decode child: `python -m pipeline.media.child SOCKET MEMORY PARENT`, started by `child_process`, not by hand.

Bytes from strangers meet C decoders here and nowhere else. The child may crash, hang or run out of memory: it holds
nothing that is missed. It ends with its parent: by signal, or when the socket closes.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import cv2
import msgspec

from materials.errors import Rejected
from model_plugins.hosting.ending import end_with_parent
from model_plugins.registry import load
from pipeline.media.complaints import Complaints
from pipeline.media.confinement import confine, grant_time, leave_network
from pipeline.media.decoder import Decoder
from pipeline.media.limits import MediaAccess
from pipeline.media.medium import medium_arrays
from pipeline.media.store import MediaStore
from pipeline.media.wire import MAX_MESSAGE, MEDIUM, Reply, Request, Setup, SharedMemory

_log = logging.getLogger(__name__)
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Encoder()


def main(arguments: list[str]) -> None:
    """Serve until the parent closes the socket."""
    connection = socket.socket(fileno=int(arguments[0]))
    end_with_parent(connection, int(arguments[2]))
    complaints = Complaints()
    faulthandler.enable(complaints.log)
    warnings.simplefilter("ignore")  # libraries remark on every odd file
    if not leave_network():
        _log.info("the decode child keeps its network: this kernel grants it no empty one")
    memory = SharedMemory(int(arguments[1]))
    cv2.setNumThreads(1)
    setup = msgspec.msgpack.decode(connection.recv(MAX_MESSAGE), type=Setup)
    try:
        plugins = load(setup.plugins)
    except Exception as error:  # loading a plug-in is running its code
        connection.send(_replies.encode(Reply("failed", message=str(error) or type(error).__name__)))
        return
    access = MediaAccess(tuple(Path(root) for root in setup.roots), setup.hosts)
    decoder = Decoder(plugins, access, setup.limits, MediaStore(Path(setup.store)) if setup.store else None, complaints)
    confine(setup.limits)
    gc.collect()
    gc.freeze()
    connection.send(_replies.encode(Reply("ready")))
    with suppress(ConnectionError):  # the parent hung up: the job has ended
        while message := connection.recv(MAX_MESSAGE):
            grant_time(setup.limits)
            reply = answer(decoder, memory, _requests.decode(message))
            connection.send(_replies.encode(reply))
            if reply.status == "out_of_memory":
                return


def answer(decoder: Decoder, memory: SharedMemory, request: Request) -> Reply:
    """The reply to one request; it never raises but for the interpreter's own ends."""
    try:
        prepared = decoder.prepare(request.uri, Path(request.base), request.kind, request.fetched, request.wants)
        of_plugins = prepared.tensors | {MEDIUM: medium_arrays(prepared)}
        arrays = memory.write(
            (plugin, name, array) for plugin, tensors in of_plugins.items() for name, array in tensors.items()
        )
    except Rejected as error:
        return Reply("rejected", code=error.code, message=error.sentence)
    except MemoryError:
        return Reply("out_of_memory")
    except Exception as error:
        _log.exception("a medium could not be prepared")
        return Reply("failed", message=str(error)[:2000] or type(error).__name__)
    return Reply(
        "prepared",
        sha256=prepared.sha256,
        arrays=arrays,
        plugins=tuple(prepared.tensors),
        width=prepared.width,
        height=prepared.height,
        duration=prepared.duration,
        failures=prepared.failures,
        stages=prepared.stages,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
