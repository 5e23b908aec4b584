"""Health checks of parts that a person runs elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import redis
import tritonclient.grpc
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError

from deploy.addresses import ENVIRONMENT, GivenAddresses, host_port
from deploy.parts.catalogue import given_parts
from deploy.parts.index import check_channel, check_index
from deploy.parts.kafka import check_broker
from deploy.parts.part import Unhealthy
from materials.errors import UsageError
from materials.redaction import without_secrets

SECONDS = 4.0


def _zookeeper(address: str) -> None:
    client = KazooClient(hosts=address, timeout=SECONDS)
    try:
        client.start(timeout=SECONDS)
    finally:
        client.stop()
        client.close()


def _redis(address: str) -> None:
    client = redis.Redis.from_url(address, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
    try:
        client.ping()
    finally:
        client.close()


def _index(address: str) -> None:
    check_index(address, SECONDS)


def _triton(address: str) -> None:
    check_channel(address, SECONDS)
    with tritonclient.grpc.InferenceServerClient(address) as client:
        if not client.is_server_ready(client_timeout=SECONDS):
            raise ConnectionError("it answers, and is not ready")


def _kafka(address: str) -> None:
    """One of the bootstrap servers is enough: it names the others."""
    servers = address.split(",")
    for server in servers:
        try:
            check_broker(*host_port(server), SECONDS)
        except (OSError, Unhealthy):
            if server == servers[-1]:
                raise
        else:
            return


CHECKS: dict[str, Callable[[str], None]] = {
    "zookeeper": _zookeeper,
    "redis": _redis,
    "index": _index,
    "triton": _triton,
    "kafka": _kafka,
}


def reason_unreachable(part: str, address: str) -> str:
    """Why a given part cannot be used, in a few words; empty when it can."""
    try:
        CHECKS[part](address)
    except (grpc.FutureTimeoutError, KazooTimeoutError):
        return f"no answer within {SECONDS:g} s"
    except grpc.RpcError as error:
        return f"it answers {error.code().name}" if isinstance(error, grpc.Call) else str(error)
    except (OSError, Unhealthy, redis.RedisError, tritonclient.grpc.InferenceServerException) as error:
        return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return ""


def require_reachable(given: GivenAddresses) -> None:
    """Check every given part.

    Raises:
        UsageError: one does not answer; says which, and the remedy.
    """
    for part, address in given_parts(given).items():
        if reason := reason_unreachable(part, address):
            raise UsageError(
                f"{part} at {without_secrets(address)} is unreachable ({reason})",
                f"start it, correct --{part} or {ENVIRONMENT[part]}, or leave it away: sosie then starts its own",
            )
