"""The registry as a running worker sees it: which registered plug-ins to run, kept current while the job goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from model_plugins.discovery.zookeeper_access import OPEN, Access
from model_plugins.discovery.zookeeper_session import ZooKeeperSession
from model_plugins.registry.acceptance import Acceptance, LivePlugin, Refused
from model_plugins.registry.allow import AllowList
from model_plugins.registry.entries import BASE_PATH, PluginEntry, decode

__all__ = ["LivePlugin", "LiveRegistry", "Snapshot"]

log = structlog.get_logger(__name__)

_FULL_READ_EVERY = 30.0
"""Seconds after which all is read again even without an event: a lost watch heals."""


class Snapshot(msgspec.Struct, frozen=True):
    """`plugins`: accepted, by name. `refused`: name -> why not, of those that were asked for. `known`: whether the
    registry was read since the start. `connected`: False while ZooKeeper is away and all stays as it was."""

    plugins: Mapping[str, LivePlugin] = {}
    refused: Mapping[str, str] = {}
    known: bool = False
    connected: bool = False


class LiveRegistry:
    """Watches `/sosie/plugins` from its construction on; one thread keeps the set current.

    Level-triggered: an event only wakes the thread, which compares what is there with what it knows, so that many
    events cost one look. While ZooKeeper is away the set stays as it is.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        acceptance: decides what this worker takes.
        names: of the plug-ins that are wanted; `"*"` for all.
        on_change: as `subscribe`.
        access: credentials; reading usually needs none.
        timeout: session timeout in seconds.
        look_every: seconds between two looks at the allow list, and at a store that lacked a wheel.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        hosts: str,
        acceptance: Acceptance,
        names: Literal["*"] | tuple[str, ...] = "*",
        on_change: Callable[[], None] | None = None,
        *,
        access: Access = OPEN,
        timeout: float = 10.0,
        look_every: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._acceptance = acceptance
        self._names = names
        self._clock = clock
        self._changed = threading.Condition()
        self._callbacks: list[Callable[[], None]] = [on_change] if on_change else []
        self._snapshot = Snapshot()
        self._dirty: set[str] = set()
        self._stale = True  # whether everything must be read
        self._read_at = float("-inf")
        self._records: dict[str, bytes] = {}
        self._verdicts: dict[str, tuple[bytes, AllowList, LivePlugin]] = {}
        self._session = ZooKeeperSession(
            hosts,
            self._reconcile,
            on_state=self._on_state,
            timeout=timeout,
            period=look_every,
            access=access,
            name="plugin-registry",
        )
        self._session.start()

    def close(self) -> None:
        """Stop watching; the set stays readable."""
        self._session.close()

    def current(self) -> Mapping[str, LivePlugin]:
        """The accepted ones, by name. Never waits."""
        return self._snapshot.plugins

    def snapshot(self) -> Snapshot:
        """All that is known. Never waits."""
        return msgspec.structs.replace(self._snapshot, connected=self._session.connected)

    def wait_until(self, condition: Callable[[Snapshot], bool], timeout: float) -> bool:
        """Block until a snapshot is as wished; False when that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.snapshot()), timeout)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` in the registry's thread after each change of what is accepted; it must not block or raise.

        Returns:
            What ends the subscription.
        """
        with self._changed:
            self._callbacks.append(callback)

        def end() -> None:
            with self._changed:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return end

    # -- called in kazoo's thread: set and wake, nothing else

    def _on_state(self, connected: bool) -> None:
        if connected:
            with self._changed:
                self._stale = True  # perhaps another session: no watch can be counted on

    def _on_event(self, event: Any) -> None:
        with self._changed:
            if event.path:
                self._dirty.add(event.path)
            else:
                self._stale = True
        self._session.wake()

    # -- called in the worker

    def _reconcile(self, client: KazooClient) -> None:
        now = self._clock()
        with self._changed:
            dirty, self._dirty = self._dirty, set()
            stale, self._stale = self._stale, False
        stale = stale or now - self._read_at >= _FULL_READ_EVERY
        if stale or dirty:
            try:
                self._records = self._read(client, dirty, stale)
            except BaseException:
                with self._changed:  # the next attempt begins anew
                    self._stale = True
                raise
            self._read_at = now
        self._publish()

    def _read(self, client: KazooClient, dirty: set[str], stale: bool) -> dict[str, bytes]:
        """The records of all nodes; what no event named keeps the one that is known."""
        wait = self._session.wait
        if stale or BASE_PATH in dirty:
            try:
                names: list[str] = wait(client.get_children_async(BASE_PATH, watch=self._on_event))
            except NoNodeError:
                # a folder that is not there cannot be watched for children, only for its making
                if wait(client.exists_async(BASE_PATH, watch=self._on_event)) is not None:
                    with self._changed:
                        self._dirty.add(BASE_PATH)
                    self._session.wake()
                return {}
        else:
            names = list(self._records)
        wanted = [name for name in names if self._names == "*" or name in self._names]
        again = [name for name in wanted if stale or name not in self._records or f"{BASE_PATH}/{name}" in dirty]
        reads = [(name, client.get_async(f"{BASE_PATH}/{name}", watch=self._on_event)) for name in again]
        records = {name: self._records[name] for name in wanted if name in self._records}
        for name, read in reads:
            records.pop(name, None)
            try:
                records[name], _ = wait(read)
            except NoNodeError:
                continue
        return records

    def _publish(self) -> None:
        plugins: dict[str, LivePlugin] = {}
        refused: dict[str, str] = {}
        for name, record in sorted(self._records.items()):
            try:
                plugins[name] = self._judged(name, record)
            except Refused as error:
                refused[name] = error.reason
            except Exception as error:  # a fault of ours with one record must not hold up the others
                log.exception("plugin_not_judged", plugin=name)
                refused[name] = f"it could not be judged: {error!r}"
        before = self._snapshot
        with self._changed:
            self._snapshot = Snapshot(plugins, refused, known=True)
            self._changed.notify_all()
            callbacks = list(self._callbacks) if plugins != before.plugins else []
        for name, reason in refused.items():
            if before.refused.get(name) != reason:
                log.warning("plugin_refused", plugin=name, reason=reason)
        if callbacks:
            log.info("registered_plugins", plugins=[f"{each.name}@{each.version}" for each in plugins.values()])
        for callback in callbacks:
            callback()

    def _judged(self, name: str, record: bytes) -> LivePlugin:
        """The verdict on a record; one that was accepted stands until the record or the allow list changes."""
        allow = self._acceptance.allow_list()
        known = self._verdicts.get(name)
        if known is not None and known[0] == record and known[1] is allow:
            return known[2]
        self._verdicts.pop(name, None)
        try:
            entry: PluginEntry = decode(record, name)
        except ValueError as error:
            raise Refused(str(error)) from error
        plugin = self._acceptance.judge(entry)
        self._verdicts[name] = (record, allow, plugin)
        return plugin
