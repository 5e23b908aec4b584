"""Endpoints of model services, watched in ZooKeeper."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from model_plugins.announcer import Announcer
from model_plugins.instances import Endpoint, decode, endpoint_of, service_path, usable
from model_plugins.zookeeper_session import ZooKeeperSession

__all__ = ["Announcer", "EndpointDirectory"]

log = structlog.get_logger(__name__)

_FULL_READ_EVERY = 30.0
"""Seconds after which a folder is listed again even without an event: a lost watch heals."""


class EndpointDirectory:
    """Who serves which model. `endpoints` is a dictionary look-up; one thread keeps it current, from construction on.

    While ZooKeeper is away the lists stay as they are. After its return nothing is taken off them for `grace`
    seconds: servers whose session expired meanwhile need that long to announce themselves again, and a client can
    try a dead endpoint, but not an unknown one.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        models: watched from the start; others are watched from their first look-up on.
        timeout: session timeout in seconds.
        grace: seconds; longer than an announcer's session timeout.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        hosts: str,
        models: Iterable[str] = (),
        timeout: float = 10.0,
        grace: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grace = grace
        self._clock = clock
        self._hosts = hosts
        self._changed = threading.Condition()
        self._watched: dict[str, float] = dict.fromkeys(models, float("-inf"))  # model -> time of the last listing
        self._known: dict[str, dict[str, Endpoint]] = {}  # model -> instance id -> endpoint, also draining ones
        self._usable: dict[str, tuple[Endpoint, ...]] = {}
        self._dirty: set[str] = set()  # paths that an event named
        self._generation = 0  # of the connection: a list read under an older one is read again
        self._interrupted = False
        self._trusted_from = float("-inf")
        self._callbacks: list[Callable[[str], None]] = []
        self._session = ZooKeeperSession(
            hosts, self._reconcile, on_state=self._on_state, timeout=timeout, name="endpoint-directory"
        )
        self._session.start()

    def close(self) -> None:
        """Stop watching; the lists stay readable."""
        self._session.close()

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper answers; when it does not, the lists are frozen."""
        return self._session.connected

    def endpoints(self, model: str) -> tuple[Endpoint, ...]:
        """The ready servers of `model`, by address; empty when none is known. Never waits."""
        found = self._usable.get(model)
        if found is None:
            self._watch(model)
            return ()
        return found

    def wait_for(self, model: str, timeout: float, at_least: int = 1) -> tuple[Endpoint, ...]:
        """Block until at least so many servers are known, or until `timeout` seconds have passed."""
        self._watch(model)
        with self._changed:
            self._changed.wait_for(lambda: len(self._usable.get(model, ())) >= at_least, timeout)
            return self._usable.get(model, ())

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(model)` in the directory's thread after each change; it must not block or raise."""
        with self._changed:
            self._callbacks.append(callback)

        def end() -> None:
            with self._changed:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return end

    def where(self, model: str) -> str:
        """The folder that is watched, for error messages."""
        state = "" if self.connected else ", which does not answer"
        return f"{service_path(model)} in ZooKeeper at {self._hosts}{state}"

    def _watch(self, model: str) -> None:
        with self._changed:
            if model in self._watched:
                return
            self._watched[model] = float("-inf")
        self._session.wake()

    # -- called in kazoo's thread: set and wake, nothing else

    def _on_state(self, connected: bool) -> None:
        if not connected:
            self._interrupted = True
            return
        if self._interrupted:
            self._interrupted = False
            self._trusted_from = self._clock() + self._grace
        self._mark("")

    def _on_event(self, event: Any) -> None:
        self._mark(event.path or "")
        self._session.wake()

    def _mark(self, path: str) -> None:
        with self._changed:
            if path:
                self._dirty.add(path)
            else:  # a new connection, or a session event: no watch can be counted on
                self._watched = dict.fromkeys(self._watched, float("-inf"))
                self._generation += 1

    # -- called in the worker

    def _reconcile(self, client: KazooClient) -> float | None:
        now = self._clock()
        with self._changed:
            dirty, self._dirty = self._dirty, set()
            due = [
                model
                for model, listed in self._watched.items()
                if now - listed >= _FULL_READ_EVERY or any(_concerns(path, model) for path in dirty)
            ]
        for done, model in enumerate(due):
            try:
                self._read(client, model, dirty, now)
            except BaseException:
                with self._changed:  # the rest is read at the next attempt
                    self._watched.update(dict.fromkeys(due[done:], float("-inf")))
                    self._dirty |= dirty
                raise
        return max(self._trusted_from - now, 0.05) if self._trusted_from > now else None

    def _read(self, client: KazooClient, model: str, dirty: set[str], now: float) -> None:
        folder, generation = service_path(model), self._generation
        self._session.wait(client.ensure_path_async(folder))  # a watch on a missing folder would never fire
        names: list[str] = self._session.wait(client.get_children_async(folder, watch=self._on_event))
        known = self._known.get(model, {})
        fresh = self._watched[model] == float("-inf")  # perhaps another server or session: read every node again
        stale = [each for each in names if fresh or each not in known or f"{folder}/{each}" in dirty]
        reads = [(name, client.get_async(f"{folder}/{name}", watch=self._on_event)) for name in stale]
        found = {name: known[name] for name in names if name in known}
        for name, read in reads:
            found.pop(name, None)
            try:
                data, _stat = self._session.wait(read)
                found[name] = endpoint_of(decode(data))
            except NoNodeError:
                continue
            except msgspec.MsgspecError as error:
                log.warning("announcement_unreadable", path=f"{folder}/{name}", error=str(error))
        trusted = now >= self._trusted_from
        if not trusted:
            found = {**known, **found}
        listed = now if trusted else now - _FULL_READ_EVERY
        self._publish(model, found, listed, generation)

    def _publish(self, model: str, found: dict[str, Endpoint], listed: float, generation: int) -> None:
        ready = usable(list(found.values()))
        with self._changed:
            changed = self._usable.get(model, ()) != ready
            self._known[model] = found
            self._usable[model] = ready
            if generation == self._generation:
                self._watched[model] = listed
            self._changed.notify_all()
            callbacks = list(self._callbacks) if changed else []
        if changed:
            log.info("endpoints_changed", model=model, endpoints=[each.address for each in ready])
        for callback in callbacks:
            callback(model)


def _concerns(path: str, model: str) -> bool:
    folder = service_path(model)
    return path == folder or path.startswith(folder + "/")
