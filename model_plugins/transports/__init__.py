"""The ways to a model server, behind one interface."""

from __future__ import annotations

from typing import Literal

from model_plugins.discovery.instances import Endpoint
from model_plugins.transports.grpc_transport import GrpcTransport
from model_plugins.transports.http_transport import HttpTransport
from model_plugins.transports.transport import Answer, Batch, Transport

__all__ = ["Answer", "Batch", "GrpcTransport", "HttpTransport", "Transport", "Wire", "address_of", "transport_to"]

Wire = Literal["grpc", "http"]
_HTTP = ("http://", "https://")


def transport_to(address: str) -> Transport:
    """HTTP for `http://…` and `https://…`, gRPC for `host:port`. Connects with the first call."""
    return HttpTransport(address) if address.startswith(_HTTP) else GrpcTransport(address)


def address_of(endpoint: Endpoint, wire: Wire) -> str:
    """What to dial: its HTTP listener when that is wanted and it has one."""
    if wire == "grpc" or not endpoint.http_port or endpoint.address.startswith(_HTTP):
        return endpoint.address
    return f"http://{endpoint.address.rpartition(':')[0]}:{endpoint.http_port}"
