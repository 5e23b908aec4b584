"""The index service of `vector_index`."""

from __future__ import annotations

import sys

import grpc

from deploy.java import clean_environment
from deploy.parts.part import Launch, Part, Site

NAME = "index"


def launch(site: Site) -> Launch:
    """`-P`: the working folder is no place to import from."""
    folder = site.state / NAME
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-P", "-m", "vector_index.server", "--state", str(folder)]
    return Launch([*argv, "--listen", site.local(NAME, "grpc")], clean_environment({"PYTHONUNBUFFERED": "1"}), folder)


def check(site: Site) -> None:
    """The channel is ready: the service listens only once its log is read."""
    check_channel(site.local(NAME, "grpc"), 3)


def check_channel(address: str, seconds: float) -> None:
    """Wait for a gRPC server.

    Raises:
        grpc.FutureTimeoutError: none answered in time.
    """
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=seconds)


PART = Part(NAME, ("grpc",), launch, check, lambda site: site.local(NAME, "grpc"), start_seconds=300, stop_seconds=20)
