"""The read-only HTTP gateway of `pipeline`, beside the index."""

from __future__ import annotations

import http.client
import os
import sys

from deploy.addresses import ENVIRONMENT
from deploy.java import clean_environment
from deploy.parts import index, valkey
from deploy.parts.announcer import quorum
from deploy.parts.part import Launch, Part, Site, Unhealthy
from deploy.ports import LOOPBACK
from model_plugins.discovery.zookeeper_access import ENVIRONMENT as AUTH_FILE

NAME = "gateway"
LIVE = "/health/live"


def launch(site: Site) -> Launch:
    """It reads only, and so needs no token of the index. Redis by the environment, as for the retry pump."""
    argv = [sys.executable, "-P", "-m", "pipeline.gateway.server", "--state", str(site.state)]
    argv += ["--listen", site.local(NAME, "http"), "--index", index.PART.address(site)]
    argv += ["--zookeeper", quorum(site)]
    redis_url = site.given.redis or valkey.PART.address(site)
    environment = {"PYTHONUNBUFFERED": "1", ENVIRONMENT["redis"]: redis_url}
    if AUTH_FILE in os.environ:
        environment[AUTH_FILE] = os.environ[AUTH_FILE]
    return Launch(argv, clean_environment(environment), site.state / "run")


def check(site: Site) -> None:
    """The process answers; what it asks of the others is `/health`'s to say.

    Raises:
        Unhealthy: it answers otherwise.
    """
    connection = http.client.HTTPConnection(LOOPBACK, site.port(NAME, "http"), timeout=3)
    try:
        connection.request("GET", LIVE)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise Unhealthy(f"{LIVE} answers {answer.status}")
    finally:
        connection.close()


PART = Part(NAME, ("http",), launch, check, lambda site: f"http://{site.local(NAME, 'http')}", after=("index",))
