"""Keeps announcements in ZooKeeper: ephemeral nodes that stand exactly as long as we say, through every session."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from model_plugins.instances import ServiceInstance
from model_plugins.zookeeper_session import ZooKeeperSession

log = structlog.get_logger(__name__)


class Announcer:
    """Connects in the background and announces a set of instances; `announce` replaces the whole set.

    After a session has expired every instance is announced again. A node of ours that an older session owns is a
    zombie (it will vanish with that session): it is replaced.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        timeout: session timeout in seconds: how long the nodes outlive this process when it is killed.
    """

    def __init__(self, hosts: str, timeout: float = 10.0) -> None:
        self._changed = threading.Condition()
        self._wanted: dict[str, bytes] = {}
        self._standing: dict[str, bytes] = {}
        self._session = ZooKeeperSession(hosts, self._reconcile, timeout=timeout, period=2.0, name="announcer")
        self._session.start()

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper answers."""
        return self._session.connected

    @property
    def session_id(self) -> int | None:
        """ZooKeeper's id of the present session."""
        return self._session.session_id

    def announce(self, instances: Iterable[ServiceInstance]) -> None:
        """Say what is to stand from now on; it is written in the background."""
        with self._changed:
            self._wanted = {instance.path: instance.encode() for instance in instances}
        self._session.wake()

    def announced(self) -> frozenset[str]:
        """The paths that stood at the last look."""
        with self._changed:
            return frozenset(self._standing)

    def wait_settled(self, timeout: float) -> bool:
        """Block until what stands is what was asked for; False when that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._standing == self._wanted, timeout)

    def close(self) -> None:
        """Withdraw everything, then close the session."""
        self._session.close(last=self._withdraw_all)

    def _reconcile(self, client: KazooClient) -> None:
        with self._changed:
            wanted = dict(self._wanted)
            surplus = [path for path in self._standing if path not in wanted]
        for path in surplus:
            self._delete(client, path)
        standing = {path: data for path, data in wanted.items() if self._stand(client, path, data)}
        with self._changed:
            self._standing = standing
            settled = self._standing == self._wanted
            self._changed.notify_all()
        if not settled:
            self._session.wake()

    def _stand(self, client: KazooClient, path: str, data: bytes) -> bool:
        """Make the node be there, ours and with this data; False when it slipped away in between."""
        wait = self._session.wait
        try:
            stored, stat = wait(client.get_async(path))
        except NoNodeError:
            try:
                wait(client.create_async(path, data, ephemeral=True, makepath=True))
            except NodeExistsError:
                return False
            log.info("announced", path=path)
            return True
        try:
            if stat.ephemeralOwner != self.session_id:
                wait(client.delete_async(path, version=stat.version))
                return False
            if stored != data:
                wait(client.set_async(path, data, version=stat.version))
        except NoNodeError:
            return False
        return True

    def _delete(self, client: KazooClient, path: str) -> None:
        try:
            self._session.wait(client.delete_async(path))
            log.info("withdrawn", path=path)
        except NoNodeError:
            log.info("already_gone", path=path)

    def _withdraw_all(self, client: KazooClient) -> None:
        with self._changed:
            paths = list(self._standing)
            self._wanted, self._standing = {}, {}
        for path in paths:
            self._delete(client, path)
