"""The ways to a model server, behind one interface."""

from __future__ import annotations

from model_plugins.transports.grpc_transport import GrpcTransport
from model_plugins.transports.http_transport import HttpTransport
from model_plugins.transports.transport import Answer, Batch, Transport

__all__ = ["Answer", "Batch", "Transport", "transport_to"]


def transport_to(address: str) -> Transport:
    """HTTP for `http://…` and `https://…`, gRPC for `host:port`. Connects with the first call."""
    return HttpTransport(address) if address.startswith(("http://", "https://")) else GrpcTransport(address)
