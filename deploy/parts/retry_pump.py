"""The retry pump of `reconcile`: what failed for now waits in Redis, and comes back to its job."""

from __future__ import annotations

import hashlib
import sys

import redis

from deploy.addresses import ENVIRONMENT
from deploy.java import clean_environment
from deploy.parts import valkey
from deploy.parts.part import Launch, Part, Site, Unhealthy
from materials.redaction import without_secrets

NAME = "retry-pump"


def redis_url(site: Site) -> str:
    """The Redis that holds the queue."""
    return site.given.redis or valkey.PART.address(site)


def launch(site: Site) -> Launch:
    """It needs Redis and the state folder, and nothing else. The address goes through the environment: it may hold a
    password, and every user of the machine may read command lines."""
    argv = [sys.executable, "-P", "-m", "pipeline.retry_part"]
    argv += ["--state", str(site.state)]
    environment = {"PYTHONUNBUFFERED": "1", ENVIRONMENT["redis"]: redis_url(site)}
    return Launch(argv, clean_environment(environment), site.state / "run")


def check(site: Site) -> None:
    """Some pump of this folder holds the lease: this one, or one that a run has brought along.

    Raises:
        Unhealthy: none does.
    """
    with redis.Redis.from_url(redis_url(site), socket_timeout=2, socket_connect_timeout=2) as client:
        if not client.exists(lease_key(site)):
            raise Unhealthy("no pump holds the lease")


def lease_key(site: Site) -> str:
    """As `reconcile.retry.lease` names it; deploy and reconcile do not import each other, a test compares the two."""
    name = hashlib.blake2b(str(site.state.absolute()).encode(), digest_size=6).hexdigest()
    return f"sosie:{{retry}}:lease:{name}"


PART = Part(
    NAME,
    (),
    launch,
    check,
    lambda site: f"{without_secrets(redis_url(site))} -> {site.state / 'retry'}",
    after=(valkey.NAME,),
    patience_seconds=float("inf"),  # without Redis nobody holds a lease, and that is not the pump's fault
)
