"""A Triton with strict readiness, its default, calls itself not ready while one model comes or goes."""

from __future__ import annotations

from typing import Any

from model_servers import KServe

from model_plugins.discovery.readiness import ServerProbe


class Changing(KServe):
    """Says that it is not ready, and that `other` is in some state."""

    def __init__(self, state: str) -> None:
        super().__init__(("double",))
        self.ready = False
        self._state = state

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        response = super().RepositoryIndex(request, context)
        if not request.ready:
            response.models.add(name="other", version="1", state=self._state)
        return response


def models_of(state: str) -> set[str]:
    server = Changing(state)
    probe = ServerProbe(server.address)
    try:
        return set(probe.look().models)
    finally:
        probe.close()
        server.stop()


def test_the_other_models_stay_while_one_is_loaded_or_unloaded() -> None:
    assert models_of("UNLOADING") == {"double"}
    assert models_of("LOADING") == {"double"}


def test_a_server_that_is_not_ready_for_another_reason_is_not() -> None:
    assert models_of("READY") == set()
    assert models_of("UNAVAILABLE") == set()
