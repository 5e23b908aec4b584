"""The hostile host: what it sends for each path. It answers on the one address that the job may call."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import time
from collections.abc import Callable
from urllib.parse import unquote

from hostile.traps import BAIT, end, serve

_STALL_S = 30.0
Answer = Callable[[socket.socket], None]


class Bait:
    """Listens on `BAIT`; `calls` counts the requests.

    Args:
        picture: a whole JPEG, for answers that would be right but for one thing.
    """

    def __init__(self, picture: bytes) -> None:
        self.calls = 0
        self._picture = picture
        self._listener = socket.socket()
        self._listener.bind((BAIT, 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._paths = self._answers(picture)
        serve(self._listener, self._answer)

    def close(self) -> None:
        """End it."""
        end(self._listener)

    @property
    def paths(self) -> list[str]:
        """Every evil that it knows, without redirects."""
        return sorted(self._paths)

    def _answer(self, connection: socket.socket) -> None:
        self.calls += 1
        connection.settimeout(_STALL_S)
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(4096)
                if not piece:
                    return
                head += piece
            target = head.split(b" ", 2)[1].decode("latin-1")
            name, _, argument = target[1:].partition("/")
            if name == "to":
                connection.sendall(_head(302, ("Location", unquote(argument))))
            elif name == "around":
                connection.sendall(_head(307, ("Location", f"/around/{int(argument or 0) + 1}")))
            else:
                self._paths.get(name, _missing)(connection)

    def _answers(self, picture: bytes) -> dict[str, Answer]:
        bomb = gzip.compress(bytes(200_000_000), 9, mtime=0)

        def says(*pieces: bytes) -> Answer:
            return lambda connection: connection.sendall(b"".join(pieces))

        length = str(len(picture))
        return {
            "not-there": _missing,
            "forbidden": says(_head(403)),
            "teapot": says(_head(418)),
            "broken": says(_head(500)),
            "unauthorised": says(_head(401, ("WWW-Authenticate", 'Basic realm="give me your password"'))),
            "patience": says(_head(429, ("Retry-After", "99999999"))),
            "patience-odd": says(_head(429, ("Retry-After", "²"))),
            "html": says(_head(200, ("Content-Type", "image/jpeg")), b"<html>not what it says</html>"),
            "empty": says(_head(200, ("Content-Length", "0"))),
            "length-too-large": says(_head(200, ("Content-Length", str(len(picture) + 1000))), picture),
            "length-too-small": says(_head(200, ("Content-Length", str(len(picture) // 2))), picture),
            "length-of-an-exabyte": says(_head(200, ("Content-Length", str(10**18))), picture),
            "length-in-words": says(_head(200, ("Content-Length", "many")), picture[:1000]),
            "length-twice": says(_head(200, ("Content-Length", "100"), ("Content-Length", length)), picture),
            "range-nobody-asked": says(_head(206, ("Content-Range", "bytes 0-99/100")), picture[:100]),
            "gzip-bomb": says(_head(200, ("Content-Encoding", "gzip"), ("Content-Length", str(len(bomb)))), bomb),
            "chunks-of-nothing": says(_head(200, ("Transfer-Encoding", "chunked")), b"0\r\n\r\n"),
            "chunk-size-negative": says(_head(200, ("Transfer-Encoding", "chunked")), b"-5\r\nxxxxx\r\n"),
            "chunk-size-huge": says(_head(200, ("Transfer-Encoding", "chunked")), b"f" * 40 + b"\r\nxxxxx\r\n"),
            "chunk-size-words": says(_head(200, ("Transfer-Encoding", "chunked")), b"many\r\nxxxxx\r\n"),
            "header-line-endless": says(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 200_000),
            "headers-many": says(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 5000, b"\r\n"),
            "status-odd": says(b"HTTP/1.1 two hundred\r\n\r\n"),
            "status-zero": says(b"HTTP/1.1 000 Nothing\r\n\r\n"),
            "not-http": says(b"SSH-2.0-OpenSSH_9.9\r\n"),
            "http-0-9": says(picture),
            "continue-for-ever": _flood(b"HTTP/1.1 100 Continue\r\n\r\n", b""),
            "switch": says(_head(101, ("Upgrade", "h2c"))),
            "redirect-without-place": says(_head(302)),
            "hang-up": lambda connection: None,
            "reset": _reset,
            "endless": _flood(b"x" * 65_536, _head(200)),
            "endless-chunks": _flood(b"1000\r\n" + b"x" * 4096 + b"\r\n", _head(200, ("Transfer-Encoding", "chunked"))),
            "endless-trailers": _flood(b"X: y\r\n", _head(200, ("Transfer-Encoding", "chunked")) + b"0\r\n"),
            "drip": _drip(_head(200), b"x"),
            "drip-head": _drip(b"HTTP/1.1 200 OK\r\n", b"X"),
            "silent": lambda connection: time.sleep(_STALL_S),
        }


def _head(status: int, *headers: tuple[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Hostile", "Connection: close", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _missing(connection: socket.socket) -> None:
    connection.sendall(_head(404))


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _flood(piece: bytes, first: bytes) -> Answer:
    """Without end, as fast as it is read."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(piece)

    return send


def _drip(first: bytes, piece: bytes) -> Answer:
    """A byte now and then: no timeout of a single read ever fires."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        until = time.monotonic() + _STALL_S
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(0.05)

    return send
