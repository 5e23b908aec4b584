"""One way to ask one model server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from model_plugins.protocol import ModelRef
from model_plugins.transports.kserve import build_request


class Answer(NamedTuple):
    """Output name -> array [rows, ...], and the version that computed them (empty where the server does not say)."""

    outputs: dict[str, NDArray[Any]]
    version: str


class Batch:
    """One call's tensors, on whatever server and by whatever way they go.

    Args:
        model: whose inputs they are.
        rows: of the batch.
        pieces: for each input the arrays that together make the batch; see `kserve.build_request`.
    """

    def __init__(self, model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]]) -> None:
        self.model = model
        self.rows = rows
        self.pieces = pieces

    @cached_property
    def message(self) -> service_pb2.ModelInferRequest:
        """The gRPC request with its tensors inside; the same for each attempt."""
        return build_request(self.model, self.rows, self.pieces)

    @property
    def nbytes(self) -> int:
        """Of all inputs together."""
        return sum(piece.nbytes for pieces in self.pieces.values() for piece in pieces)


class Transport(Protocol):
    """A connection to one server. Belongs to one event loop."""

    async def infer(self, batch: Batch, seconds: float) -> Answer:
        """One call.

        Raises:
            SosieError: of the types in `call_errors`.
        """
        ...

    async def ready(self, model: str, version: str, seconds: float) -> bool:
        """Whether the server says, within `seconds`, that it can run the model. Never raises for a server's fault."""
        ...

    async def close(self, grace: float | None = None) -> None:
        """Calls in flight have `grace` seconds more; none when it is None."""
        ...
