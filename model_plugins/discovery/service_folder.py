"""Reads one model's folder in ZooKeeper, and believes only what can be believed.

Watches are chosen for big folders: one on the folder, none on nodes that say of themselves that they never change
(`Payload.fixed`), one on each node that others wrote. A joining instance costs one read (two with credentials, three
when others wrote it), a leaving one none, and the folder is listed once for all events of a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError

from model_plugins.discovery.instances import Endpoint, ServiceInstance, decode, endpoint_of, service_path
from model_plugins.discovery.zookeeper_access import Access, AccessRefused

log = structlog.get_logger(__name__)

Known = Mapping[str, Endpoint | None]
"""Instance id -> endpoint; None for a node that is there and is not to be used."""


class ReadCounts(msgspec.Struct):
    """What was asked of ZooKeeper since the start: listings of a folder, contents of nodes, ACLs; and events heard."""

    listings: int = 0
    nodes: int = 0
    acls: int = 0
    events: int = 0

    @property
    def reads(self) -> int:
        """All questions."""
        return self.listings + self.nodes + self.acls


class FolderReader:
    """Asks ZooKeeper; used in one thread.

    Args:
        wait: gets the value of a kazoo asynchronous result.
        on_event: given to every watch; called in kazoo's thread.
        access: with credentials, nodes that others may write are not used.
    """

    def __init__(self, wait: Callable[[Any], Any], on_event: Callable[[Any], None], access: Access) -> None:
        self._wait = wait
        self._on_event = on_event
        self._access = access
        self.counts = ReadCounts()

    def read(self, client: KazooClient, model: str, known: Known, again: Collection[str] | None) -> dict[str, Any]:
        """The folder as it is now.

        Args:
            known: what need not be read again.
            again: ids to read though they are known; None: all.

        Returns:
            Instance id -> endpoint, or None where the node is there and is not to be used.

        Raises:
            AccessRefused: not one of its instances is ours.
        """
        folder = service_path(model)
        names = self._names(client, folder)
        unread = [name for name in names if again is None or name in again or name not in known]
        found = {name: known[name] for name in names if name in known and name not in unread}
        strangers = self._strangers(client, folder, unread)
        nodes = [(name, client.get_async(f"{folder}/{name}")) for name in unread if name not in strangers]
        self.counts.nodes += len(nodes)
        found |= dict.fromkeys(strangers)
        for name, answer in nodes:
            try:
                found[name] = self._endpoint(client, f"{folder}/{name}", *self._wait(answer))
            except NoNodeError:
                found.pop(name, None)
            except NoAuthError:
                log.warning("announcement_not_for_us", path=f"{folder}/{name}")
                found[name] = None
        if strangers and not any(found.values()):
            raise AccessRefused(f"none of the instances in {folder} belongs to user {self._access.user!r}")
        return found

    def _names(self, client: KazooClient, folder: str) -> list[str]:
        """The children, watched; while there is no folder its creation is watched. Never writes."""
        while True:
            self.counts.listings += 1
            try:
                names: list[str] = self._wait(client.get_children_async(folder, watch=self._on_event))
                return names
            except NoNodeError:
                if self._wait(client.exists_async(folder, watch=self._on_event)) is None:
                    return []

    def _strangers(self, client: KazooClient, folder: str, names: list[str]) -> set[str]:
        """Those that somebody else may write; none without credentials."""
        if not self._access.user:
            return set()
        found = set()
        asked = [(name, client.get_acls_async(f"{folder}/{name}")) for name in names]
        self.counts.acls += len(asked)
        for name, answer in asked:
            try:
                acls, _stat = self._wait(answer)
                ours = self._access.owns(acls)
            except NoNodeError:
                continue
            except NoAuthError:
                ours = False
            if not ours:
                log.warning("announcement_of_a_stranger", path=f"{folder}/{name}")
                found.add(name)
        return found

    def _endpoint(self, client: KazooClient, path: str, data: bytes, stat: Any) -> Endpoint | None:
        instance = _decoded(data)
        if instance is None or instance.payload is None or not instance.payload.fixed:
            self.counts.nodes += 1  # it may change in place: read it once more, watched
            data, stat = self._wait(client.get_async(path, watch=self._on_event))
            instance = _decoded(data)
        if instance is None:
            log.warning("announcement_unreadable", path=path)
            return None
        if instance.service_type == "DYNAMIC" and not stat.ephemeralOwner:
            log.warning("announcement_is_a_zombie", path=path, why="no session holds it, so it would stay for ever")
            return None
        return endpoint_of(instance)


def _decoded(data: bytes) -> ServiceInstance | None:
    try:
        return decode(data)
    except msgspec.MsgspecError:
        return None
