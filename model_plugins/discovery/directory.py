"""Endpoints of model services, watched in ZooKeeper."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from model_plugins.discovery.announcer import Announcer
from model_plugins.discovery.endpoint_snapshot import EndpointSnapshots
from model_plugins.discovery.instances import Endpoint, service_path, usable
from model_plugins.discovery.service_folder import FolderReader, ReadCounts
from model_plugins.discovery.zookeeper_access import Access, AccessRefused, from_environment
from model_plugins.discovery.zookeeper_session import ZooKeeperSession

__all__ = ["Announcer", "EndpointDirectory"]

log = structlog.get_logger(__name__)

_NEVER = float("-inf")
_FULL_READ_EVERY = 30.0
"""Seconds after which a folder is listed again even without an event: a lost watch heals."""
_SETTLE = 0.1
"""Seconds between two looks at least: however many instances come and go, a folder is listed ten times a second."""
_SAVE_EVERY = 1.0
"""Seconds between two snapshots at least."""


class _Service:
    """One watched model."""

    def __init__(self, known: dict[str, Endpoint]) -> None:
        self.known: dict[str, Endpoint | None] = dict(known)
        self.usable = usable(list(known.values()))
        self.listed = _NEVER
        self.fresh = True  # perhaps another server or session: read every node again
        self.answered = False  # by ZooKeeper: until then `known` is what the disk remembers
        self.saved = True
        self.refused: AccessRefused | None = None


class EndpointDirectory:
    """Who serves which model. `endpoints` is a dictionary look-up; one thread keeps it current, from construction on.

    While ZooKeeper is away the lists stay as they are. After its return nothing is taken off them for `grace`
    seconds: servers whose session expired meanwhile need that long to announce themselves again, and a client can
    try a dead endpoint, but not an unknown one. The same holds while ZooKeeper refuses our credentials; that is
    logged as an error, and `wait_for` and `where` say so.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        models: watched from the start; others are watched from their first look-up on.
        timeout: session timeout in seconds.
        grace: seconds; longer than an announcer's session timeout.
        clock: monotonic seconds.
        snapshots: a folder that keeps the lists. A model starts with what it holds, and goes over to ZooKeeper's list
            as soon as it answers (an empty answer counts after `grace` only).
        access: credentials; by default those of the environment. With credentials, instances that anybody else
            may write are ignored.
        now: epoch seconds, for the snapshots.
    """

    def __init__(
        self,
        hosts: str,
        models: Iterable[str] = (),
        timeout: float = 10.0,
        grace: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        snapshots: Path | None = None,
        access: Access | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._grace = grace
        self._clock = clock
        self._now = now
        self._hosts = hosts
        self._snapshots = None if snapshots is None else EndpointSnapshots(snapshots, hosts)
        self._changed = threading.Condition()
        self._services: dict[str, _Service] = {}
        self._dirty: set[str] = set()  # paths that an event named
        self._generation = 0  # of the connection: a list read under an older one is read again
        self._interrupted = False
        self._trusted_from = _NEVER
        self._started_until: float | None = None  # till then an empty first answer replaces no snapshot
        self._save_from = _NEVER
        self._callbacks: list[Callable[[str], None]] = []
        access = from_environment() if access is None else access
        self._session = ZooKeeperSession(
            hosts,
            self._reconcile,
            on_state=self._on_state,
            on_refused=self._on_refused,
            timeout=timeout,
            settle=_SETTLE,
            access=access,
            name="endpoint-directory",
        )
        self._reader = FolderReader(self._session.wait, self._on_event, access)
        for model in models:
            self._watch(model)
        self._session.start()

    def close(self) -> None:
        """Stop watching; the lists stay readable."""
        self._session.close()
        self._save(last=True)

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper answers; when it does not, the lists are frozen."""
        return self._session.connected

    @property
    def counts(self) -> ReadCounts:
        """What was asked of ZooKeeper so far."""
        return self._reader.counts

    def endpoints(self, model: str) -> tuple[Endpoint, ...]:
        """The ready servers of `model`, by address; empty when none is known. Never waits for ZooKeeper."""
        found = self._services.get(model)
        return self._watch(model).usable if found is None else found.usable

    def wait_for(self, model: str, timeout: float, at_least: int = 1) -> tuple[Endpoint, ...]:
        """Block until at least so many servers are known, or until `timeout` seconds have passed.

        Raises:
            AccessRefused: ZooKeeper refuses our credentials, or every instance is a stranger's.
        """
        service = self._watch(model)
        with self._changed:
            self._changed.wait_for(lambda: len(service.usable) >= at_least or self._refusal(model) is not None, timeout)
            if len(service.usable) < at_least and (refused := self._refusal(model)) is not None:
                raise AccessRefused(refused.message)
            return service.usable

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
        """The folder that is watched, for error messages, and what is wrong with it."""
        refused = self._refusal(model)
        state = f" ({refused.message})" if refused else "" if self.connected else ", which does not answer"
        return f"{service_path(model)} in ZooKeeper at {self._hosts}{state}"

    def _refusal(self, model: str) -> AccessRefused | None:
        service = self._services.get(model)
        return self._session.refused or (service.refused if service else None)

    def _watch(self, model: str) -> _Service:
        with self._changed:
            service = self._services.get(model)
            if service is not None:
                return service
            remembered = self._snapshots.load(model, self._now()) if self._snapshots else {}
            service = self._services[model] = _Service(remembered)
        self._session.wake()
        return service

    # -- called in kazoo's thread: set and wake, nothing else

    def _on_state(self, connected: bool) -> None:
        if not connected:
            self._interrupted = True
            return
        if self._interrupted:
            self._interrupted = False
            self._trusted_from = self._clock() + self._grace
        if self._started_until is None:
            self._started_until = self._clock() + self._grace
        self._mark("")

    def _on_event(self, event: Any) -> None:
        self._reader.counts.events += 1
        self._mark(event.path or "")
        self._session.wake()

    def _mark(self, path: str) -> None:
        with self._changed:
            if path:
                self._dirty.add(path)
                return
            for service in self._services.values():  # a new connection: no watch can be counted on
                service.listed, service.fresh = _NEVER, True
            self._generation += 1

    # -- called in the worker

    def _on_refused(self, error: AccessRefused | None) -> None:  # noqa: ARG002 - read from the session
        with self._changed:
            self._changed.notify_all()

    def _reconcile(self, client: KazooClient) -> float | None:
        now = self._clock()
        with self._changed:
            dirty, self._dirty = self._dirty, set()
            due = {
                model: service
                for model, service in self._services.items()
                if now - service.listed >= _FULL_READ_EVERY or any(_concerns(path, model) for path in dirty)
            }
        for model in list(due):
            try:
                self._read(client, model, due[model], dirty, now)
            except (AccessRefused, NoAuthError) as error:
                self._refuse(model, due[model], error)
            except BaseException:
                with self._changed:  # the rest is read at the next attempt
                    for service in due.values():
                        service.listed = _NEVER
                    self._dirty |= dirty
                raise
            del due[model]
        self._save()
        waits = [each - now for each in (self._trusted_from, self._started_until or _NEVER) if each > now]
        if any(not service.saved for service in list(self._services.values())):
            waits.append(self._save_from - now)
        return max(min(waits), 0.05) if waits else None

    def _read(self, client: KazooClient, model: str, service: _Service, dirty: set[str], now: float) -> None:
        generation, fresh = self._generation, service.fresh
        again = None if fresh else {path.rpartition("/")[2] for path in dirty if _concerns(path, model)}
        found = self._reader.read(client, model, service.known, again)
        trusted = now >= self._trusted_from
        if not service.answered:
            early = self._started_until is not None and now < self._started_until
            if early and service.known and not any(found.values()):
                with self._changed:  # a rebuilt ZooKeeper is empty until the announcers have come back
                    service.listed = now - _FULL_READ_EVERY
                return
        elif not trusted:
            found = {**service.known, **found}
        listed = now if trusted else now - _FULL_READ_EVERY
        self._publish(model, service, found, listed, generation)

    def _publish(
        self, model: str, service: _Service, found: dict[str, Endpoint | None], listed: float, generation: int
    ) -> None:
        ready = usable([each for each in found.values() if each is not None])
        with self._changed:
            changed = service.usable != ready
            service.saved &= service.known == found
            service.known, service.usable, service.answered, service.refused = found, ready, True, None
            if generation == self._generation:
                service.listed, service.fresh = listed, False
            self._changed.notify_all()
            callbacks = list(self._callbacks) if changed else []
        if changed:
            log.info("endpoints_changed", model=model, ready=len(ready))
            log.debug("endpoints", model=model, endpoints=[each.address for each in ready])
        for callback in callbacks:
            callback(model)

    def _refuse(self, model: str, service: _Service, error: AccessRefused | NoAuthError) -> None:
        """Leave the list as it is, and say loudly that it is not to be trusted."""
        reason = error.message if isinstance(error, AccessRefused) else f"{service_path(model)} may not be read by us"
        if service.refused is None or service.refused.message != reason:
            log.error("endpoints_refused", model=model, error=reason)
        with self._changed:
            service.refused = AccessRefused(reason)
            service.listed = self._clock() - _FULL_READ_EVERY + 2.0
            service.fresh = True
            self._changed.notify_all()

    def _save(self, last: bool = False) -> None:
        now = self._clock()
        if self._snapshots is None or (now < self._save_from and not last):
            return
        for model, service in list(self._services.items()):
            if not service.saved and service.answered:
                kept = {name: each for name, each in service.known.items() if each is not None}
                self._snapshots.save(model, kept, self._now())
                service.saved = True
                self._save_from = now + _SAVE_EVERY


def _concerns(path: str, model: str) -> bool:
    folder = service_path(model)
    return path == folder or path.startswith(folder + "/")
