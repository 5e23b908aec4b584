"""Keeps announcements in ZooKeeper: ephemeral nodes that stand exactly as long as we say, through every session."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from model_plugins.discovery.instances import ServiceInstance
from model_plugins.discovery.zookeeper_access import Access, AccessRefused, close_folders, from_environment
from model_plugins.discovery.zookeeper_session import ZooKeeperSession

log = structlog.get_logger(__name__)

_VERIFY_EVERY = 15.0
"""Seconds between two looks at what stands, beside the watch on each node."""


class EphemeralNodes:
    """Connects in the background and keeps a set of ephemeral nodes; `want` replaces the whole set.

    After a session has expired every node is made again. A node of ours that an older session owns is a zombie (it
    will vanish with that session): it is replaced. New nodes are made before old ones are taken away.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        timeout: session timeout in seconds: how long the nodes outlive this process when it is killed.
        access: credentials; by default those of the environment. With credentials the nodes and their folders may be
            written by nobody else.
    """

    def __init__(
        self, hosts: str, timeout: float = 10.0, access: Access | None = None, name: str = "announcer"
    ) -> None:
        self._access = from_environment() if access is None else access
        self._changed = threading.Condition()
        self._wanted: dict[str, bytes] = {}
        self._standing: dict[str, bytes] = {}
        self._closed_folders: set[str] = set()
        self._session = ZooKeeperSession(
            hosts,
            self._reconcile,
            on_state=self._on_state,
            on_refused=self._on_refused,
            timeout=timeout,
            period=_VERIFY_EVERY,
            access=self._access,
            name=name,
        )
        self._session.start()

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper answers."""
        return self._session.connected

    @property
    def session_id(self) -> int | None:
        """ZooKeeper's id of the present session."""
        return self._session.session_id

    @property
    def refused(self) -> AccessRefused | None:
        """Why ZooKeeper does not let us write; None while it does."""
        return self._session.refused

    def want(self, nodes: Mapping[str, bytes]) -> None:
        """Path -> content of all that is to stand from now on; it is written in the background."""
        with self._changed:
            self._wanted = dict(nodes)
        self._session.wake()

    def announced(self) -> frozenset[str]:
        """The paths that stood at the last look."""
        with self._changed:
            return frozenset(self._standing)

    def wait_settled(self, timeout: float) -> bool:
        """Block until what stands is what was asked for; False when that took longer than `timeout` seconds.

        Raises:
            AccessRefused: ZooKeeper does not let us write.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._settled() or self.refused is not None, timeout)
            if not self._settled() and self.refused is not None:
                raise AccessRefused(self.refused.message)
            return self._settled()

    def close(self) -> None:
        """Withdraw everything, then close the session."""
        self._session.close(last=self._withdraw_all)

    def _settled(self) -> bool:
        return self._standing == self._wanted

    def _on_state(self, connected: bool) -> None:
        if not connected:
            self._closed_folders = set()  # another server may come back

    def _on_refused(self, error: AccessRefused | None) -> None:  # noqa: ARG002 - read from the session
        with self._changed:
            self._changed.notify_all()

    def _on_event(self, event: Any) -> None:  # noqa: ARG002 - whatever it was, the worker looks
        self._session.wake()

    def _reconcile(self, client: KazooClient) -> None:
        with self._changed:
            wanted = dict(self._wanted)
            surplus = [path for path in self._standing if path not in wanted]
        reads = {path: client.get_async(path, watch=self._on_event) for path in wanted}
        standing = {path: data for path, data in wanted.items() if self._stand(client, path, data, reads[path])}
        for path in surplus:
            self._delete(client, path)
        with self._changed:
            self._standing = standing
            settled = self._settled()
            self._changed.notify_all()
        if not settled:
            self._session.wake()

    def _stand(self, client: KazooClient, path: str, data: bytes, read: Any) -> bool:
        """Make the node be there, ours and with this data; False when it slipped away in between."""
        wait = self._session.wait
        try:
            stored, stat = wait(read)
        except NoNodeError:
            try:
                self._create(client, path, data)
            except NodeExistsError:
                return False
            except NoNodeError:  # its folder has gone
                self._closed_folders.clear()
                return False
            log.info("announced", path=path)
            return False  # read it once more: that sets the watch, and shows that it is ours
        try:
            if stat.ephemeralOwner != self.session_id:
                wait(client.delete_async(path, version=stat.version))
                return False
            if stored != data:
                wait(client.set_async(path, data, version=stat.version))
        except NoNodeError:
            return False
        return True

    def _create(self, client: KazooClient, path: str, data: bytes) -> None:
        folder = path.rpartition("/")[0]
        if self._access.user and folder not in self._closed_folders:
            close_folders(client, self._session.wait, folder, self._access)
            self._closed_folders.add(folder)
        acl = self._access.acl()
        self._session.wait(client.create_async(path, data, acl=acl, ephemeral=True, makepath=not self._access.user))

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


class Announcer(EphemeralNodes):
    """Announces a set of instances."""

    def announce(self, instances: Iterable[ServiceInstance]) -> None:
        """Say what is to stand from now on; it is written in the background."""
        self.want({instance.path: instance.encode() for instance in instances})
