"""The proxy of the fault tests: what it spoils, and that it spoils nothing else."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
from tcp_proxy import TcpProxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.fixture
def echo() -> Iterator[str]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: str) -> Iterator[TcpProxy]:
    with TcpProxy(echo) as running:
        yield running


def connect(proxy: TcpProxy, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def answer(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (data := connection.recv(65536)):
        got += data
    return got


def test_bytes_pass_unchanged_and_so_does_the_end_of_the_stream(proxy: TcpProxy) -> None:
    sent = bytes(range(256)) * 8192
    with connect(proxy) as connection:
        threading.Thread(target=connection.sendall, args=(sent,)).start()
        assert answer(connection, len(sent)) == sent
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_a_delay_counts_both_ways_and_ends(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        proxy.delay(0.1)
        begun = time.monotonic()
        connection.sendall(b"late")
        assert answer(connection, 4) == b"late"
        assert time.monotonic() - begun >= 0.2
        proxy.heal()
        begun = time.monotonic()
        connection.sendall(b"soon")
        assert answer(connection, 4) == b"soon"
        assert time.monotonic() - begun < 0.1


def test_a_stall_holds_bytes_back_and_loses_none(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        connection.sendall(b"a")
        assert answer(connection, 1) == b"a"
        proxy.stall()
        connection.settimeout(0.2)
        connection.sendall(b"held")
        with pytest.raises(TimeoutError):
            connection.recv(4)
        with connect(proxy) as new:
            new.sendall(b"too")
            new.settimeout(0.2)
            with pytest.raises(TimeoutError):
                new.recv(3)
            proxy.heal()
            for waiting, said in ((connection, b"held"), (new, b"too")):
                waiting.settimeout(5)
                assert answer(waiting, len(said)) == said


def test_a_reset_tears_down_what_is_open_and_what_comes(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        connection.sendall(b"a")
        assert answer(connection, 1) == b"a"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionResetError), connect(proxy) as refused:  # the reset may be quicker than we
        refused.recv(1)
    proxy.heal()
    with connect(proxy) as again:
        again.sendall(b"b")
        assert answer(again, 1) == b"b"


def test_a_client_of_a_dead_server_is_reset_and_the_proxy_lives(echo: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"
        with TcpProxy(nobody) as proxy:
            for _ in range(2):
                with pytest.raises(ConnectionResetError), connect(proxy) as refused:  # the reset may be quicker than we
                    refused.recv(1)
            assert proxy.connections == 2
