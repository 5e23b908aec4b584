"""What parent and decode child say to each other, and the memory that they share.

Messages are small and travel over a SOCK_SEQPACKET pair, one datagram each, as msgpack: Setup, then Reply `ready`;
then Request and Reply in turns. Arrays never pass the socket: the child writes them into an anonymous file that both
map, and the reply says where they lie. There is one request at a time, so the memory needs no lock.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from model_plugins.hosting.shared_memory import MAX_MESSAGE, ArrayRef, SharedMemory
from model_plugins.runtime.findings import Failure
from model_plugins.runtime.wants import NOTHING, Wants
from pipeline.media.limits import MediaLimits

__all__ = ["MAX_MESSAGE", "MEDIUM", "ArrayRef", "Reply", "Request", "Setup", "SharedMemory"]


MEDIUM = ""
"""Stands for a plug-in's name where an array is the medium's own: `rgb`, `frames`, `times`, `sound`, `encoded`."""


class Setup(msgspec.Struct, frozen=True):
    """The first message: what the child shall load, and where media may come from. `store`: where they are kept; ""
    for nowhere."""

    plugins: tuple[str, ...]
    roots: tuple[str, ...]
    hosts: tuple[str, ...]
    limits: MediaLimits
    store: str = ""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """`fetched`: where the content of a URL was saved; empty when the child is to resolve `uri` itself. `wants`: what
    is to come back beside the plug-ins' tensors."""

    uri: str
    base: str
    kind: Literal["image", "video"]
    fetched: str = ""
    wants: Wants = NOTHING


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """`rejected` has code and message, `failed` a message; after `out_of_memory` the child ends. `failures`: of single
    plug-ins. Arrays of the plug-in `MEDIUM` are the medium itself."""

    status: Literal["ready", "prepared", "rejected", "failed", "out_of_memory"]
    sha256: bytes = b""
    arrays: tuple[ArrayRef, ...] = ()
    plugins: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    duration: float = 0.0
    code: str = ""
    message: str = ""
    failures: dict[str, Failure] = {}
    stages: tuple[tuple[str, int, int], ...] = ()
