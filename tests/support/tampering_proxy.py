"""A TCP proxy on a free port that cuts or holds up what passes, so that a test knows what went wrong, and where."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class TamperingProxy:
    """`cut`: connections that are accepted and closed at once, counted down; `hold_s`: seconds by which what the
    server says is held up, while `hold_s` is set."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.cut = 0
        self.cuts_made = 0
        self.hold_s = 0.0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.cut:
                self.cut -= 1
                self.cuts_made += 1
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            for one, other, held in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=self._pump, args=(one, other, held), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, one: socket.socket, other: socket.socket, held: bool) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if held and self.hold_s:
                    self._closing.wait(self.hold_s)
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@contextmanager
def tampering(host: str, port: int) -> Iterator[TamperingProxy]:
    proxy = TamperingProxy((host, port))
    try:
        yield proxy
    finally:
        proxy.close()
