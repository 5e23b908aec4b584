"""The index service of `vector_index`."""

from __future__ import annotations

import sys
from typing import Any

import grpc

from deploy.java import clean_environment
from deploy.parts.part import Launch, Part, Site
from vector_index.channels import Access, open_channel
from vector_index.proto import index_pb2, index_pb2_grpc

NAME = "index"
CHANNEL = [("grpc.use_local_subchannel_pool", 1)]
"""A connection of our own: a shared one would still be in its back-off after a restart."""


def launch(site: Site) -> Launch:
    """`-P`: the working folder is no place to import from."""
    folder = site.state / NAME
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-P", "-m", "vector_index.server", "--state", str(folder)]
    return Launch([*argv, "--listen", site.local(NAME, "grpc")], clean_environment({"PYTHONUNBUFFERED": "1"}), folder)


def check(site: Site) -> None:
    """It listens only once its log is read, and then answers `Stats`."""
    check_index(site.local(NAME, "grpc"), 3)


def check_index(address: str, seconds: float) -> None:
    """Ask an index service how it is.

    Raises:
        grpc.FutureTimeoutError: nobody answered in time.
        grpc.RpcError: whoever answered is no index service, or not well.
    """
    with open_channel(address, Access.of_environment()) as channel:
        grpc.channel_ready_future(channel).result(timeout=seconds)
        stub: Any = index_pb2_grpc.VectorIndexStub(channel)  # type: ignore[no-untyped-call]
        stub.Stats(index_pb2.StatsRequest(), timeout=seconds)


def check_channel(address: str, seconds: float) -> None:
    """Wait for a gRPC server.

    Raises:
        grpc.FutureTimeoutError: none answered in time.
    """
    with grpc.insecure_channel(address, options=CHANNEL) as channel:
        grpc.channel_ready_future(channel).result(timeout=seconds)


PART = Part(NAME, ("grpc",), launch, check, lambda site: site.local(NAME, "grpc"), start_seconds=300, stop_seconds=30)
