"""Who announces a server that is not there is told what is missing, once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_plugins.discovery import announce
from model_plugins.discovery.instances import ServedModel
from model_plugins.discovery.readiness import ServerView

READY = ServerView(True, {"double": ServedModel(versions=("1",), max_batch=4)})


class Probe:
    """Gives one view four times, then ends the loop."""

    def __init__(self, view: ServerView, stop: threading.Event) -> None:
        self._view, self._stop, self._left = view, stop, 4

    def look(self) -> ServerView:
        self._left -= 1
        if not self._left:
            self._stop.set()
        return self._view


class NoAnnouncement:
    """ZooKeeper that takes nothing."""

    refused = None

    def __init__(self, connected: bool) -> None:
        self.connected = connected

    def announce(self, instances: Any) -> None: ...

    def announced(self) -> frozenset[str]:
        return frozenset()


@pytest.mark.parametrize(
    ("view", "connected", "reason"),
    [
        (READY, False, "ZooKeeper at zk:1 does not answer"),
        (ServerView(False, refused=True), True, "no server is ready at h:2"),
        (READY, True, "the server has no ready model of triple; ready: double"),
    ],
)
def test_what_is_missing_is_said_once(
    view: ServerView, connected: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "_PATIENCE", 0.0)
    stop = threading.Event()
    options = announce.Options(grpc=("h", 2), zookeeper="zk:1", models=("triple",), interval=0.01)
    probe: Any = Probe(view, stop)
    announcer: Any = NoAnnouncement(connected)
    with capture_logs() as logs:
        announce.announce(probe, announcer, options, stop, threading.Event())
    assert [each["reason"] for each in logs if each["log_level"] == "warning"] == [reason]
