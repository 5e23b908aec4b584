"""Writing the registry: register, remove, enable, disable, list. Short calls, each on the newest state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, BadVersionError, KazooException, NoAuthError, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from materials.errors import Retryable, UsageError
from model_plugins.discovery.zookeeper_access import OPEN, Access, AccessRefused, close_folders
from model_plugins.registry.acceptance import installed_names
from model_plugins.registry.entries import BASE_PATH, PluginEntry, check, decode

log = structlog.get_logger(__name__)

Registered = Literal["registered", "replaced", "unchanged"]
_ATTEMPTS = 5
T = TypeVar("T")


class PluginAdmin:
    """A connection to the registry, to be used in a `with`. With credentials, what it makes is theirs alone to write.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        access: credentials; without them the registry stands open, which befits a loopback only.
        installed: names that are taken.
        timeout: seconds for the connection and for each call.
    """

    def __init__(
        self,
        hosts: str,
        access: Access = OPEN,
        installed: Callable[[], frozenset[str]] = installed_names,
        timeout: float = 10.0,
    ) -> None:
        self._hosts = hosts
        self._access = access
        self._installed = installed
        self._timeout = timeout
        self._client = KazooClient(hosts=hosts, timeout=timeout, auth_data=access.auth_data)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            UsageError: nothing answers there.
        """
        try:
            self._client.start(self._timeout)
        except (KazooTimeoutError, KazooException) as error:
            self._close()
            raise UsageError(f"no ZooKeeper answers at {self._hosts}", "sosie up, or name another") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def entries(self) -> tuple[dict[str, PluginEntry], dict[str, str]]:
        """All records by name, and for each node that holds none the reason."""
        found: dict[str, PluginEntry] = {}
        unreadable: dict[str, str] = {}
        for name in sorted(self._call(self._children)):
            try:
                found[name] = self._get(name)[0]
            except NoNodeError:
                continue
            except ValueError as error:
                unreadable[name] = str(error)
        return found, unreadable

    def register(self, entry: PluginEntry) -> Registered:
        """Write a record: a new name, a higher version of a known one, or the same again.

        Raises:
            UsageError: the name is taken, the version is there with another wheel, or is lower than the present one.
        """
        self.check_name(entry.name)
        try:
            check(entry)
        except ValueError as error:
            raise UsageError(f"plug-in {entry.name!r} cannot be registered: {error}", "correct its manifest") from error
        return self._call(lambda: self._register(entry))

    def check_name(self, name: str) -> None:
        """Raises UsageError when an installed plug-in has it."""
        if name in self._installed():
            raise UsageError(f"{name!r} is the name of an installed plug-in", "give yours another name")

    def remove(self, name: str) -> PluginEntry | None:
        """Delete a record; jobs drop the plug-in. Returns what it was, None where it could not be read.

        Raises:
            UsageError: there is none.
        """

        def work() -> PluginEntry | None:
            try:
                entry: PluginEntry | None = self._get(name)[0]
            except ValueError:
                entry = None  # to remove what cannot be read is what it is for
            self._wait(self._client.delete_async(_path(name)))
            return entry

        return self._of(name, work)

    def set_enabled(self, name: str, enabled: bool) -> PluginEntry:
        """Switch a plug-in on or off in all running jobs.

        Raises:
            UsageError: there is none of this name, or its record cannot be read.
        """

        def work() -> PluginEntry:
            entry, version = self._get(name)
            changed = msgspec.structs.replace(entry, enabled=enabled)
            if changed != entry:
                self._wait(self._client.set_async(_path(name), changed.encode(), version=version))
            return changed

        return self._of(name, work)

    def _register(self, entry: PluginEntry) -> Registered:
        acl = self._access.acl()
        if acl is None:
            self._wait(self._client.ensure_path_async(BASE_PATH))
        else:
            close_folders(self._client, self._wait, BASE_PATH, self._access)
        try:
            self._wait(self._client.create_async(_path(entry.name), entry.encode(), acl=acl))
            return "registered"
        except NodeExistsError:
            pass
        if acl is not None:
            self._close_node(entry.name)
        try:
            present, version = self._get(entry.name)
        except ValueError as error:
            raise UsageError(
                f"the record of {entry.name!r} cannot be read: {error}", f"sosie plugin remove {entry.name}"
            ) from error
        if (present.version, present.sha256, present.target) == (entry.version, entry.sha256, entry.target):
            if present.key_id == entry.key_id and present.enabled:
                return "unchanged"
        elif present.version == entry.version:
            raise UsageError(
                f"{entry.key} is registered with another wheel ({present.sha256[:12]}…, by {present.by or 'somebody'})",
                "raise `version` in the manifest: stored features carry it",
            )
        elif present.version > entry.version:
            raise UsageError(
                f"{present.key} is registered, and {entry.key} is older",
                f"sosie plugin remove {entry.name}, then register the older one",
            )
        self._wait(self._client.set_async(_path(entry.name), entry.encode(), version=version))
        return "replaced"

    def _close_node(self, name: str) -> None:
        """A record that was written without credentials becomes ours alone."""
        stored, stat = self._wait(self._client.get_acls_async(_path(name)))
        if not self._access.owns(stored):
            log.warning("record_was_open_to_others", plugin=name)
            self._wait(self._client.set_acls_async(_path(name), self._access.acl(), version=stat.acl_version))

    def _of(self, name: str, work: Callable[[], T]) -> T:
        try:
            return self._call(work)
        except NoNodeError:
            raise UsageError(f"no plug-in {name!r} is registered", "sosie plugin list") from None
        except ValueError as error:
            raise UsageError(
                f"the record of {name!r} cannot be read: {error}", f"sosie plugin remove {name}"
            ) from error

    def _call(self, work: Callable[[], T]) -> T:
        """`work`, again when somebody else wrote in between."""
        for _ in range(_ATTEMPTS):
            try:
                return work()
            except BadVersionError:
                continue
            except NoNodeError:
                raise
            except (NoAuthError, AuthFailedError) as error:
                raise AccessRefused(f"ZooKeeper at {self._hosts} lets others write {BASE_PATH}, and not us") from error
            except (KazooException, KazooTimeoutError) as error:
                raise Retryable(f"ZooKeeper at {self._hosts} does not answer: {error!r}") from error
        raise Retryable(f"others keep writing {BASE_PATH} at {self._hosts}")

    def _children(self) -> list[str]:
        try:
            return list(self._wait(self._client.get_children_async(BASE_PATH)))
        except NoNodeError:
            return []

    def _get(self, name: str) -> tuple[PluginEntry, int]:
        data, stat = self._wait(self._client.get_async(_path(name)))
        return decode(data, name), int(stat.version)

    def _wait(self, result: Any) -> Any:
        return result.get(timeout=self._timeout)

    def _close(self) -> None:
        self._client.stop()
        self._client.close()


def _path(name: str) -> str:
    """Raises UsageError when the name would lead elsewhere."""
    if "/" in name or not name.strip("."):
        raise UsageError(f"{name!r} is no name of a plug-in", "sosie plugin list")
    return f"{BASE_PATH}/{name}"
