"""Servers other than Triton tell the state of a model in words of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from model_servers import KServe
from tritonclient.grpc import service_pb2

from model_plugins.discovery.readiness import ServerProbe


class AnswersAsMLServer(KServe):
    """MLServer 1.7.1: states as Python prints its enumeration, no filter by readiness, no model configuration."""

    states: tuple[tuple[str, str], ...] = ()

    def ModelConfig(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        response = service_pb2.RepositoryIndexResponse()
        for name, state in self.states:
            response.models.add(name=name, version="1", state=state)
        return response


@pytest.fixture
def server() -> Iterator[AnswersAsMLServer]:
    started = AnswersAsMLServer(("a", "b", "c", "d", "e"))
    yield started
    started.stop()


def test_models_are_ready_in_the_words_of_either_server(server: AnswersAsMLServer) -> None:
    server.states = (
        ("a", "READY"),
        ("b", "State.READY"),
        ("c", "State.UNAVAILABLE"),
        ("d", "UNAVAILABLE"),
        ("e", "State.LOADING"),
    )
    probe = ServerProbe(server.address)
    try:
        view = probe.look()
    finally:
        probe.close()
    assert view.ready
    assert set(view.models) == {"a", "b"}
    assert {model.max_batch for model in view.models.values()} == {0}, "no configuration: no batch limit known"
