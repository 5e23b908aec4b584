"""Topic rules in ZooKeeper, `/sosie/topics/<job>`: written by a command, followed by running jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from materials.errors import Retryable
from model_plugins.discovery.zookeeper_access import OPEN, Access, close_folders
from model_plugins.discovery.zookeeper_session import ZooKeeperSession
from pipeline.kafka.rules import TopicRule

PATH: Final = "/sosie/topics"
_log = structlog.get_logger(__name__)


@contextmanager
def _client(hosts: str, timeout: float, access: Access) -> Iterator[KazooClient]:
    client = KazooClient(hosts=hosts, timeout=timeout, auth_data=access.auth_data)
    try:
        client.start(timeout=timeout)
        yield client
    except (KazooException, KazooTimeoutError) as error:
        raise Retryable(f"ZooKeeper at {hosts}: {error or type(error).__name__}") from None
    finally:
        client.stop()
        client.close()


def write(hosts: str, job: str, rule: TopicRule | None, timeout: float = 10.0, access: Access = OPEN) -> None:
    """Set a job's rule, or take it away (None): jobs of that name that run follow within a second.

    Raises:
        Retryable: ZooKeeper cannot be reached.
        AccessRefused: the folder belongs to somebody else.
    """
    path = f"{PATH}/{job}"
    with _client(hosts, timeout, access) as client:
        if access.user:
            close_folders(client, lambda result: result.get(timeout=timeout), PATH, access)
        # An empty node, not a missing one: a watch on it goes on, and "no rule" is told from "not yet known".
        data = msgspec.json.encode(rule) if rule is not None else b""
        try:
            client.create(path, data, acl=access.acl(), makepath=True)
        except NodeExistsError:
            client.set(path, data)


def read(hosts: str, job: str, timeout: float = 10.0, access: Access = OPEN) -> TopicRule | None:
    """A job's rule; None where it has none.

    Raises:
        Retryable: ZooKeeper cannot be reached.
    """
    with _client(hosts, timeout, access) as client:
        try:
            return _decoded(client.get(f"{PATH}/{job}")[0], job)
        except NoNodeError:
            return None


class RuleWatcher:
    """Follows one job's rule. While ZooKeeper is away the last one stands.

    Args:
        hosts: ZooKeeper.
        job: its name.
        on_rule: called in the watcher's thread with the rule, at first and after each change; None: no rule.
        access: our credentials; a node that somebody else may write is not believed.
    """

    def __init__(
        self, hosts: str, job: str, on_rule: Callable[[TopicRule | None], None], access: Access = OPEN
    ) -> None:
        self._job, self._on_rule, self._access = job, on_rule, access
        self._seen = threading.Event()
        self._last: bytes | None = None
        self._session = ZooKeeperSession(hosts, self._reconcile, access=access, name="topic-rule")
        self._session.start()

    def wait_seen(self, seconds: float) -> bool:
        """Block until ZooKeeper has answered once; False when it did not in time."""
        return self._seen.wait(seconds)

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _reconcile(self, client: KazooClient) -> float | None:
        path = f"{PATH}/{self._job}"
        data = b""
        try:
            data, _ = self._session.wait(client.get_async(path, watch=self._wake))
            if self._access.user and not self._access.owns(self._session.wait(client.get_acls_async(path))[0]):
                _log.warning("topic_rule_of_a_stranger", path=path)
                data = self._last or b""
        except NoNodeError:
            self._session.wait(client.exists_async(path, watch=self._wake))
        if data != self._last:
            try:
                self._on_rule(_decoded(data, self._job))
            except Exception:  # results go on by the rule before; a bad one is not tried again until it is changed
                _log.exception("topic_rule_not_taken", job=self._job)
            self._last = data
        self._seen.set()
        return None

    def _wake(self, _event: Any) -> None:
        self._session.wake()


def _decoded(data: bytes, job: str) -> TopicRule | None:
    if not data:
        return None
    try:
        return msgspec.json.decode(data, type=TopicRule)
    except msgspec.MsgspecError as error:
        _log.warning("topic_rule_unreadable", job=job, error=str(error))
        return None
