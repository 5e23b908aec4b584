"""What a KServe v2 server can do right now, asked over gRPC, and when to believe that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import msgspec
import structlog
from tritonclient.grpc import service_pb2, service_pb2_grpc

from model_plugins.discovery.instances import ServedModel

log = structlog.get_logger(__name__)


class ServerView(msgspec.Struct, frozen=True):
    """One look at a server.

    `models`: those that are ready, by name. `doubtful`: those that did not say in time. `refused`: nobody listens,
    which is no doubt.
    """

    ready: bool
    models: Mapping[str, ServedModel] = {}
    build: str = ""
    refused: bool = False
    doubtful: frozenset[str] = frozenset()


class ServerProbe:
    """Asks one server. Keeps its channel; `look` never raises for a server that is down.

    Args:
        address: `host:port` of the server's gRPC listener.
        timeout: seconds for each question.
    """

    def __init__(self, address: str, timeout: float = 2.0) -> None:
        self._timeout = timeout
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._limits: dict[tuple[str, tuple[str, ...]], int] = {}
        self._build = ""

    def look(self) -> ServerView:
        """The models that are ready. Three small calls when nothing has changed."""
        try:
            if not self._ask("ServerReady", service_pb2.ServerReadyRequest()).ready and not self._is_changing():
                return ServerView(False)
            index = self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest(ready=True))
            versions: dict[str, list[str]] = {}
            for entry in index.models:
                if _is_ready(entry.state):
                    versions.setdefault(entry.name, []).append(entry.version)
            models: dict[str, ServedModel] = {}
            doubtful: set[str] = set()
            for name, each in versions.items():
                try:
                    served = self._served(name, tuple(sorted(each)))
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                        raise
                    doubtful.add(name)  # this model hangs; the others need not suffer for it
                    continue
                if served is not None:
                    models[name] = served
            return ServerView(True, models, self._server_build(), doubtful=frozenset(doubtful))
        except grpc.RpcError as error:
            refused = error.code() == grpc.StatusCode.UNAVAILABLE
            if refused:
                self._build, self._limits = "", {}  # another server may come back on this address
            return ServerView(False, refused=refused)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _is_changing(self) -> bool:
        """Whether some model comes or goes. Triton's strict readiness, its default, then calls the whole server not
        ready, for seconds, while all its other models answer."""
        index = self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest(ready=False))
        return any(entry.state.rpartition(".")[2] in ("LOADING", "UNLOADING") for entry in index.models)

    def _ask(self, method: str, request: Any) -> Any:
        return getattr(self._stub, method)(request, timeout=self._timeout)

    def _server_build(self) -> str:
        if not self._build:
            metadata = self._ask("ServerMetadata", service_pb2.ServerMetadataRequest())
            self._build = f"{metadata.name} {metadata.version}".strip()
        return self._build

    def _served(self, name: str, versions: tuple[str, ...]) -> ServedModel | None:
        """The model as announced; None when it has gone meanwhile."""
        try:
            if not self._ask("ModelReady", service_pb2.ModelReadyRequest(name=name)).ready:
                return None
            key = (name, versions)
            if key not in self._limits:
                self._limits[key] = self._max_batch(name)
            return ServedModel(versions=versions, max_batch=self._limits[key])
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            log.info("model_not_ready", model=name, error=error.details())
            return None

    def _max_batch(self, name: str) -> int:
        try:
            return int(self._ask("ModelConfig", service_pb2.ModelConfigRequest(name=name)).config.max_batch_size)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
            return 0  # MLServer has no such call


def _is_ready(state: str) -> bool:
    """Triton writes `READY`, MLServer `State.READY`, others nothing for a list that holds ready models alone."""
    return state.rpartition(".")[2] in ("READY", "")


class Readiness:
    """Which models to announce, given one look after another. Pure but for its own memory.

    A server that nobody listens for is gone at once, and so is a model that says that it is not ready. Who only did
    not answer in time may be busy: what it had stays announced until `patience` looks in a row have failed. That is
    counted for the server, and for each of its models.
    """

    def __init__(self, patience: int = 3) -> None:
        self._patience = patience
        self._failures = 0
        self._silent: dict[str, int] = {}
        self._view = ServerView(False)

    def update(self, view: ServerView) -> ServerView:
        """The view to announce after this look."""
        self._failures = 0 if view.ready else self._failures + 1
        if view.ready:
            self._silent = {name: self._silent.get(name, 0) + 1 for name in view.doubtful}
            kept = {
                name: served
                for name, served in self._view.models.items()
                if 0 < self._silent.get(name, 0) < self._patience
            }
            self._view = ServerView(True, {**kept, **view.models}, view.build)
        elif view.refused or self._failures >= self._patience:
            self._view, self._silent = view, {}
        return self._view
