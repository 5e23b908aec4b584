"""One end of a SOCK_SEQPACKET pair, as an event loop sees it: whole messages, one awaited at a time."""

from __future__ import annotations

import asyncio
import socket

from model_plugins.hosting.shared_memory import MAX_MESSAGE


class Channel:
    """Sends at once, receives by await; belongs to the loop that first receives.

    Args:
        connection: ours; it is set to non-blocking.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[bytes] | None = None
        self._early: bytes | None = None
        self._ended = False
        self._closed = False

    def send(self, message: bytes) -> None:
        """One datagram.

        Raises:
            OSError: the other side is gone, or takes nothing any more.
        """
        self._socket.send(message)

    async def receive(self) -> bytes:
        """The next message; empty at the end. The reader stays registered: taking it off and on would cost more than
        a message does."""
        if self._closed or (self._ended and self._early is None):
            return b""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._socket.fileno(), self._on_readable)
        if self._early is not None:
            message, self._early = self._early, None
            return message
        self._waiter = loop.create_future()
        return await self._waiter

    def close(self) -> None:
        """In the loop's thread, or when it no longer runs; whoever waits gets the end. Harmless twice."""
        if self._closed:
            return
        self._closed = True
        self._unwatch()
        self._socket.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(b"")

    def _on_readable(self) -> None:
        try:
            message = self._socket.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            message = b""  # reset: as good as closed
        if not message:
            self._ended = True
            self._unwatch()  # an end of file stays readable for ever
        if self._early is not None:
            self._unwatch()  # nobody asked for the one before: a child that floods its parent waits in its own send
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(message)
        else:
            self._early = message

    def _unwatch(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
