"""The announcer: enters the local model server in ZooKeeper, and takes it out when it stops."""

from __future__ import annotations

import os
import sys

from kazoo.client import KazooClient

from deploy.java import clean_environment
from deploy.model_server.catalogue import served
from deploy.parts import triton, zookeeper
from deploy.parts.part import Launch, Part, Site, Unhealthy
from model_plugins.discovery.instances import decode, endpoint_of, service_path
from model_plugins.discovery.zookeeper_access import ENVIRONMENT as AUTH_FILE

NAME = "announcer"


def quorum(site: Site) -> str:
    """The ZooKeeper to announce in."""
    return site.given.zookeeper or zookeeper.PART.address(site)


def triton_address(site: Site) -> str:
    """The model server to announce, `host:port` of its gRPC listener."""
    return site.given.triton or triton.PART.address(site)


def launch(site: Site) -> Launch:
    """It holds the ephemeral node, and so lives as long as the announcement."""
    argv = [sys.executable, "-P", "-m", "model_plugins.discovery.announce"]
    argv += ["--triton-grpc", triton_address(site), "--zookeeper", quorum(site)]
    if not site.given.triton:
        argv += ["--triton-http", site.local(triton.NAME, "http")]
    environment = {"PYTHONUNBUFFERED": "1"}
    if AUTH_FILE in os.environ:  # the caller's: who announces and who reads must have the same credentials
        environment[AUTH_FILE] = os.environ[AUTH_FILE]
    return Launch(argv, clean_environment(environment), site.state / "run")


def check(site: Site) -> None:
    """Every model of the local server is announced at its address.

    Raises:
        Unhealthy: one is not.
    """
    address = triton_address(site)
    client = KazooClient(hosts=quorum(site), timeout=5)
    try:
        client.start(timeout=5)
        for model in served(site.extras):
            announced = set()
            if client.exists(service_path(model.name)):
                for instance in client.get_children(service_path(model.name)):
                    announced.add(endpoint_of(decode(client.get(f"{service_path(model.name)}/{instance}")[0])).address)
            if address not in announced:
                raise Unhealthy(f"{model.name} is not announced at {address}")
    finally:
        client.stop()
        client.close()


PART = Part(
    NAME,
    (),
    launch,
    check,
    lambda site: f"{quorum(site)} -> {triton_address(site)}",
    after=("zookeeper", "triton"),
    patience_seconds=float("inf"),  # what it announces is the model server's health, not its own
)
