"""Sockets that nobody may call, a host that answers badly, and a name server that changes its mind.

Listeners stand on loopback and private addresses of this machine. Whoever connects to one made a forbidden request.
The bait, on a loopback address of its own that the job's spec allows, is the hostile host: redirects, floods, drips.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import psutil

BAIT = "127.0.0.77"
_FIXED = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "::1")


def forbidden_addresses() -> list[str]:
    """Loopback addresses, and this machine's own addresses in its networks."""
    own = [
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    ]
    private = [each for each in own if (address := ipaddress.ip_address(each)).is_private and not address.is_link_local]
    return list(dict.fromkeys([*_FIXED, *private]))


class Listeners:
    """One socket on each forbidden address, all on one port. `calls`: connections, by address."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.addresses: list[str] = []
        self._sockets: list[socket.socket] = []
        self.port = 0
        for address in forbidden_addresses():
            self._listen(address)

    def _listen(self, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, self.port))
        except OSError:  # no IPv6 here, or an address that is not ours any more
            listener.close()
            return
        listener.listen(64)
        self.port = self.port or listener.getsockname()[1]
        self._sockets.append(listener)
        self.addresses.append(address)
        serve(listener, lambda connection, name=address: self._called(name, connection))

    def _called(self, address: str, connection: socket.socket) -> None:
        self.calls[address] += 1
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        """End them."""
        for listener in self._sockets:
            end(listener)


def serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    """A thread that accepts, and one for each connection; they end with the listener."""

    def one(connection: socket.socket) -> None:
        with connection:
            answer(connection)

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def end(listener: socket.socket) -> None:
    """Close a listener, also one that a thread waits in."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class NameServer:
    """DNS (RFC 1035) over UDP on the bait's address: each question to a name takes the next of its answers.

    Args:
        answers: name -> answers, each a list of addresses; the last one stays. Unknown names do not exist; a name with
            no answers is never answered.
    """

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self.questions: Counter[str] = Counter()
        self._answers = answers
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((BAIT, 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                question, caller = self._socket.recvfrom(512)
                reply = self._reply(question)
                if reply:
                    self._socket.sendto(reply, caller)
            except (OSError, IndexError):  # closed: the last thing that is read is empty
                return

    def _reply(self, question: bytes) -> bytes | None:
        name, after = read_name(question, 12)
        answers = self._answers.get(name)
        if answers is None:
            return question[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question[12:]
        if not answers:
            return None
        addresses = answers[min(self.questions[name], len(answers) - 1)]
        self.questions[name] += 1
        records = b"".join(_record(address) for address in addresses)
        return (
            question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0) + question[12 : after + 4] + records
        )

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def read_name(packet: bytes, at: int) -> tuple[str, int]:
    """A name without compression, and where it ends."""
    labels: list[str] = []
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii"))
        at += 1 + packet[at]
    return ".".join(labels).lower(), at + 1


def _record(address: str) -> bytes:
    packed = ipaddress.ip_address(address).packed
    return b"\xc0\x0c" + struct.pack(">HHIH", 1 if len(packed) == 4 else 28, 1, 0, len(packed)) + packed


def records(packet: bytes) -> Iterator[str]:
    """The addresses in an answer of `NameServer`."""
    (count,) = struct.unpack_from(">H", packet, 6)
    at = read_name(packet, 12)[1] + 4
    for _ in range(count):
        (length,) = struct.unpack_from(">H", packet, at + 10)
        yield str(ipaddress.ip_address(packet[at + 12 : at + 12 + length]))
        at += 12 + length
