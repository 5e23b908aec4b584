"""Aliases as running workers follow them: `/sosie/aliases/<model>` in ZooKeeper, JSON `{alias: version}`.

The library's history is the truth; this is its projection, written after it and written again by whoever finds it
behind. Workers read it and never write it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from materials.errors import Retryable
from model_plugins.discovery.zookeeper_access import OPEN, Access, close_folders
from model_plugins.discovery.zookeeper_session import ZooKeeperSession
from model_plugins.library.records import PRODUCTION

log = structlog.get_logger(__name__)

ALIASES_PATH: Final = "/sosie/aliases"
_TRIES: Final = 20
Aliases = Mapping[str, str]


def publish(hosts: str, model: str, read: Callable[[], Aliases], timeout: float = 10.0, access: Access = OPEN) -> bool:
    """Make the node say what the library says.

    The library is read between reading and writing the node, and the write names the node's version: of two
    publishers at once, the one that read older aliases fails and reads again.

    Args:
        read: the aliases of `model`, from the library.
        timeout: seconds for each step.
        access: our credentials; with some, nobody else may write the node.

    Returns:
        Whether the node had to be changed.

    Raises:
        Retryable: ZooKeeper cannot be reached, or keeps changing.
        AccessRefused: the folder belongs to somebody else.
    """
    client = KazooClient(hosts=hosts, timeout=timeout, auth_data=access.auth_data)
    path = f"{ALIASES_PATH}/{model}"
    try:
        client.start(timeout=timeout)
        if access.user:
            close_folders(client, lambda result: result.get(timeout=timeout), ALIASES_PATH, access)
        for _ in range(_TRIES):
            try:
                stored, stat = client.get(path)
            except NoNodeError:
                try:
                    client.create(path, _encoded(read()), acl=access.acl(), makepath=True)
                except NodeExistsError:
                    continue
                return True
            wanted = _encoded(read())
            if stored == wanted:
                return False
            try:
                client.set(path, wanted, version=stat.version)
            except (BadVersionError, NoNodeError):
                continue
            return True
    except (KazooException, KazooTimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise Retryable(f"aliases of {model} could not be published in ZooKeeper at {hosts}: {reason}") from None
    finally:
        client.stop()
        client.close()
    raise Retryable(f"{path} in ZooKeeper at {hosts} keeps changing; repeat the command")


def published(hosts: str, timeout: float = 10.0, access: Access = OPEN) -> dict[str, dict[str, str]]:
    """Model -> alias -> version, as workers see them now.

    Raises:
        Retryable: ZooKeeper cannot be reached.
    """
    client = KazooClient(hosts=hosts, timeout=timeout, auth_data=access.auth_data)
    found: dict[str, dict[str, str]] = {}
    try:
        client.start(timeout=timeout)
        try:
            models = client.get_children(ALIASES_PATH)
        except NoNodeError:
            return {}
        for model in sorted(models):
            try:
                found[model] = _decoded(client.get(f"{ALIASES_PATH}/{model}")[0])
            except NoNodeError:
                continue
            except msgspec.MsgspecError as error:
                log.warning("aliases_unreadable", model=model, error=str(error))
        return found
    except (KazooException, KazooTimeoutError) as error:
        raise Retryable(f"ZooKeeper at {hosts} cannot be asked for aliases: {error or type(error).__name__}") from None
    finally:
        client.stop()
        client.close()


def _encoded(aliases: Aliases) -> bytes:
    return msgspec.json.encode(dict(sorted(aliases.items())))


def _decoded(data: bytes) -> dict[str, str]:
    return msgspec.json.decode(data, type=dict[str, str])


class AliasWatcher:
    """Which version each alias names. `version` is a look-up; one thread keeps it current, from construction on.

    While ZooKeeper is away, and for a model whose node vanished with a rebuilt ZooKeeper, the last answer stands: a
    worker must not fall back to whichever version a server likes best.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        timeout: session timeout in seconds.
        snapshot: a file that keeps the last answer, for a start while ZooKeeper is away.
        access: our credentials; with some, a node that somebody else may write is not believed.
    """

    def __init__(self, hosts: str, timeout: float = 10.0, snapshot: Path | None = None, access: Access = OPEN) -> None:
        self._changed = threading.Condition()
        self._snapshot = snapshot
        self._aliases: dict[str, dict[str, str]] = _load(snapshot)
        self._callbacks: list[Callable[[str], None]] = []
        self._seen = False
        self._access = access
        self._session = ZooKeeperSession(hosts, self._reconcile, timeout=timeout, access=access, name="alias-watcher")
        self._session.start()

    def version(self, model: str, alias: str = PRODUCTION) -> str | None:
        """The version that the alias names; None when nobody has said (yet). Never waits."""
        return self._aliases.get(model, {}).get(alias)

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper answers; when it does not, the answers are frozen."""
        return self._session.connected

    def wait_seen(self, timeout: float) -> bool:
        """Block until the aliases were read once, or until `timeout` seconds have passed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._seen, timeout)

    def wait_for(self, model: str, version: str, timeout: float, alias: str = PRODUCTION) -> bool:
        """Block until the alias names `version`; False when that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.version(model, alias) == version, timeout)

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(model)` in the watcher's thread after each change; it must not block or raise. Returns what
        ends the subscription."""
        with self._changed:
            self._callbacks.append(callback)

        def end() -> None:
            with self._changed:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return end

    def close(self) -> None:
        """Stop watching; the answers stay."""
        self._session.close()

    # -- in the session's worker: every event and every few seconds, all is read again (models are few)

    def _reconcile(self, client: KazooClient) -> None:
        wait = self._session.wait
        wait(client.ensure_path_async(ALIASES_PATH))  # a watch on a missing folder would never fire
        models: list[str] = wait(client.get_children_async(ALIASES_PATH, watch=self._on_event))
        reads = [(model, client.get_async(f"{ALIASES_PATH}/{model}", watch=self._on_event)) for model in models]
        found: dict[str, dict[str, str]] = {}
        for model, read in reads:
            try:
                if self._access.user and not self._access.owns(
                    wait(client.get_acls_async(f"{ALIASES_PATH}/{model}"))[0]
                ):
                    log.warning("aliases_not_ours", model=model)
                    continue
                found[model] = _decoded(wait(read)[0])
            except NoNodeError:
                continue
            except msgspec.MsgspecError as error:
                log.warning("aliases_unreadable", model=model, error=str(error))
        with self._changed:
            changed = [model for model, aliases in found.items() if self._aliases.get(model) != aliases]
            self._aliases = self._aliases | found
            self._seen = True
            self._changed.notify_all()
            callbacks = list(self._callbacks)
        for model in changed:
            log.info("aliases_changed", model=model, aliases=found[model])
            for callback in callbacks:
                callback(model)
        if changed:
            _save(self._snapshot, self._aliases)

    def _on_event(self, _event: Any) -> None:
        self._session.wake()


def _load(snapshot: Path | None) -> dict[str, dict[str, str]]:
    if snapshot is None:
        return {}
    try:
        return msgspec.json.decode(snapshot.read_bytes(), type=dict[str, dict[str, str]])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("alias_snapshot_unreadable", path=str(snapshot), error=str(error))
        return {}


def _save(snapshot: Path | None, aliases: Mapping[str, Aliases]) -> None:
    if snapshot is None:
        return
    try:
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        aside = snapshot.with_name(f".{snapshot.name}.{threading.get_ident()}")
        aside.write_bytes(msgspec.json.encode(aliases))
        aside.replace(snapshot)
    except OSError as error:
        log.warning("alias_snapshot_unwritable", path=str(snapshot), error=str(error))
