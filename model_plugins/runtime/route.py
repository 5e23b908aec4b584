"""How the model calls of a plug-in find and reach a server."""

from __future__ import annotations

import msgspec

from model_plugins.transports import Wire


class Route(msgspec.Struct, frozen=True):
    """`balancer`: the strategy, empty for the default. `hedging`: whether a second attempt may run beside one that
    takes longer than the model's p95. `wire`: gRPC, or the HTTP listener of servers that announce one.
    `deadline_s`: seconds for one model call over all its attempts; None: the runtime's."""

    balancer: str = ""
    hedging: bool = False
    wire: Wire = "grpc"
    deadline_s: float | None = None


DEFAULT = Route()
