"""A ZooKeeper client with one worker thread that brings things in line again after every event.

kazoo calls listeners and watches in its own thread, where a ZooKeeper call would deadlock; watches fire once and are
lost with the session; ephemeral nodes are not made again after expiry. So no event is acted upon by itself: events
only wake the worker, and the worker compares what should be with what is (level-triggered, like a controller).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import AuthFailedError, KazooException, NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KeeperState
from kazoo.retry import KazooRetry

from model_plugins.discovery.zookeeper_access import OPEN, Access, AccessRefused

log = structlog.get_logger(__name__)

_BACKOFF = 0.25
_REFUSED_BACKOFF = 3.0
"""Seconds between two attempts while ZooKeeper refuses us: only a person can change that."""
_COMPLAIN_EVERY = 60.0
"""Seconds between two log lines about that."""
_GIVE_UP = 1.5
"""Session timeouts without a connection after which the session is taken for expired."""


class ZooKeeperSession:
    """Owns the kazoo client and the worker.

    Args:
        hosts: `host:port[,host:port…]`, with an optional `/chroot`.
        reconcile: called in the worker while connected, after every `wake` and every `period`; it may raise kazoo's
            errors, and is called again. It returns the seconds until it wants to be called next, or None.
        on_state: told of `True` (connected) and `False` (suspended or lost) in kazoo's thread: it must not block.
        on_refused: told when ZooKeeper begins to refuse our credentials, and with None when it no longer does.
        timeout: session timeout in seconds: a dead client's ephemeral nodes last this long.
        period: seconds between two calls without an event.
        settle: seconds between two calls at least, however many events come: a storm of them costs few calls.
        access: our credentials.
    """

    def __init__(
        self,
        hosts: str,
        reconcile: Callable[[KazooClient], float | None],
        *,
        on_state: Callable[[bool], None] = lambda _connected: None,
        on_refused: Callable[[AccessRefused | None], None] = lambda _error: None,
        timeout: float = 10.0,
        period: float = 5.0,
        settle: float = 0.0,
        access: Access = OPEN,
        name: str = "zookeeper",
    ) -> None:
        self._timeout = timeout
        self._period = period
        self._settle = settle
        self._access = access
        self._on_refused = on_refused
        self._refused: AccessRefused | None = None
        self._complain_from = 0.0
        self._reconcile = reconcile
        self._on_state = on_state
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._hosts = hosts
        self._client = self._new_client()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the session stands right now."""
        return bool(self._client.state == KazooState.CONNECTED)

    @property
    def session_id(self) -> int | None:
        """The owner that ZooKeeper writes into our ephemeral nodes; None while not connected."""
        ident = self._client.client_id
        return None if ident is None else int(ident[0])

    @property
    def refused(self) -> AccessRefused | None:
        """Why ZooKeeper does not let us; None while it does."""
        return self._refused

    def start(self) -> None:
        """Connect in the background; an unreachable ZooKeeper is tried for ever and is no error."""
        self._client.start_async()
        self._thread.start()

    def wake(self) -> None:
        """Have the worker look again soon. Safe in any thread, kazoo's too."""
        self._wake.set()

    def wait(self, result: Any) -> Any:
        """The value of a kazoo asynchronous result; never longer than half the session timeout.

        kazoo's blocking calls have no time limit, and a call made while the server is away waits for its return.
        """
        return result.get(timeout=max(2.0, self._timeout / 2))

    def close(self, last: Callable[[KazooClient], None] | None = None) -> None:
        """End the worker, run `last` if the session stands, and close the session. Harmless twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        if not self.connected:
            self._client.stop()  # releases a worker that waits for an answer
        if self._thread.is_alive():
            self._thread.join(self._timeout + 1)
        try:
            if last is not None and self.connected:
                last(self._client)
        except (KazooException, KazooTimeoutError) as error:
            log.warning("zookeeper_close_failed", error=repr(error))
        finally:
            self._client.stop()
            self._client.close()

    def _new_client(self) -> KazooClient:
        retry = KazooRetry(max_tries=-1, delay=0.1, backoff=2, max_delay=2.0)
        client = KazooClient(
            hosts=self._hosts, timeout=self._timeout, connection_retry=retry, auth_data=self._access.auth_data
        )
        client.add_listener(self._listen)
        return client

    def _start_over(self) -> None:
        """Take a new client.

        A server that was rebuilt has seen fewer transactions than our session, and refuses a client that says so for
        ever; by now the session has expired anyway. After a failed authentication kazoo tries no more by itself.
        """
        log.warning("zookeeper_session_given_up", hosts=self._hosts)
        self._client.stop()
        self._client.close()
        self._client = self._new_client()
        self._client.start_async()

    def _listen(self, state: str) -> None:
        self._on_state(state == KazooState.CONNECTED)
        self._wake.set()

    def _work(self) -> None:
        pause: float | None = None
        seen: float | None = None  # when this client was last connected
        last = float("-inf")
        while not self._closing.is_set():
            self._wake.wait(self._period if pause is None else min(pause, self._period))
            self._closing.wait(max(0.0, last + self._settle - time.monotonic()))
            self._wake.clear()
            pause = None
            if self._closing.is_set():
                return
            if not self.connected:
                if self._client.client_state == KeeperState.AUTH_FAILED:
                    self._refuse(AuthFailedError())
                    self._closing.wait(_REFUSED_BACKOFF)
                    self._start_over()
                    seen = None
                elif seen is not None:
                    pause = seen + self._timeout * _GIVE_UP - time.monotonic()
                    if pause <= 0:
                        self._start_over()
                        seen = pause = None
                continue
            seen = time.monotonic()
            pause = self._attempt()
            last = time.monotonic()

    def _attempt(self) -> float | None:
        """One call of `reconcile`; the seconds until the next one at most."""
        try:
            pause = self._reconcile(self._client)
        except (AccessRefused, NoAuthError, AuthFailedError) as error:
            self._refuse(error)
            return _REFUSED_BACKOFF
        except (KazooException, KazooTimeoutError) as error:
            # between two servers every call may fail: look again shortly, with nothing believed meanwhile
            log.warning("zookeeper_call_failed", error=repr(error))
            self._closing.wait(_BACKOFF)
            self._wake.set()
        except Exception:  # a fault of ours must not end the thread: the lists would silently never change again
            log.exception("zookeeper_worker_failed")
            self._closing.wait(_BACKOFF)
            self._wake.set()
        else:
            if self._refused is not None:
                log.info("zookeeper_lets_us_in_again", hosts=self._hosts)
                self._refused = None
                self._on_refused(None)
            return pause
        return None

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, AccessRefused):
            reason = error.message
        else:
            reason = "authentication failed" if isinstance(error, AuthFailedError) else "an ACL forbids it"
        who = f"user {self._access.user!r}" if self._access.user else "without credentials"
        refused = AccessRefused(f"ZooKeeper at {self._hosts} refuses us ({who}): {reason}")
        if self._refused is None or time.monotonic() >= self._complain_from:
            log.error("zookeeper_refuses_us", error=refused.message, remedy=refused.remedy)
            self._complain_from = time.monotonic() + _COMPLAIN_EVERY
        self._refused = refused
        self._on_refused(refused)
