"""Fetching, against a real server on the loopback interface."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from materials.errors import Overloaded, Rejected, Retryable, SosieError
from pipeline.media.fetch import fetch
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.urls import Address, is_public

NAME = "media.test"
BODY = b"x" * 200_000


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts: list[str]
    release: threading.Event
    patience = "7"

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        name, _, argument = self.path[1:].partition("/")
        self.close_connection = True
        if name == "status":
            self.send_response(int(argument))
            self.send_header("Retry-After", self.patience)
            self.end_headers()
        elif name == "to":
            self.send_response(302)
            self.send_header("Location", argument)
            self.end_headers()
        elif name == "around":
            self.send_response(307)
            self.send_header("Location", f"/around/{int(argument) - 1}" if int(argument) else "/ok")
            self.end_headers()
        elif name == "endless":
            self.send_response(200)
            self.end_headers()
            self._write_until_refused()
        elif name == "drip":
            self.send_response(200)
            self.end_headers()
            while not self.release.wait(0.02):
                self.wfile.write(b".")
                self.wfile.flush()
        else:
            body = b"" if name == "empty" else BODY
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + (10 if name == "cut" else 0)))
            self.end_headers()
            self.wfile.write(body)

    def _write_until_refused(self) -> None:
        while True:
            self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some of the tests are about."""


@pytest.fixture
def server() -> Iterator[_Server]:
    handler = type("Handler", (_Handler,), {"hosts": [], "release": threading.Event()})
    with _Server(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        handler.release.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def anything(_: Address) -> bool:
    return True


def get(server: _Server, path: str, folder: Path, limits: MediaLimits | None = None) -> bytes:
    port = server.server_address[1]
    file = fetch(
        f"http://{NAME}:{port}/{path}",
        MediaAccess(hosts=(f"{NAME}:{port}",)),
        limits or MediaLimits(fetch_timeout_s=10),
        folder,
        is_allowed_address=anything,
        lookup=lambda host, port: ["127.0.0.1"],
    )
    return file.read_bytes()


def failure(server: _Server, path: str, folder: Path, limits: MediaLimits | None = None) -> SosieError:
    with pytest.raises(SosieError) as caught:
        get(server, path, folder, limits)
    assert list(folder.iterdir()) == [], "nothing is left behind"
    return caught.value


def test_a_body_arrives_and_the_host_is_named(server: _Server, tmp_path: Path) -> None:
    assert get(server, "ok", tmp_path) == BODY
    assert server.RequestHandlerClass.hosts == [f"{NAME}:{server.server_address[1]}"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("status/404", "missing_file"),
        ("status/410", "missing_file"),
        ("status/403", "forbidden"),
        ("status/451", "fetch_refused"),
        ("empty", "empty_file"),
        ("to/http://169.254.169.254/latest", "private_address"),
        ("to/http://elsewhere.test/", "host_not_allowed"),
        ("to/file:///etc/passwd", "scheme_not_allowed"),
        ("around/3", "too_many_redirects"),
    ],
)
def test_what_is_rejected(server: _Server, tmp_path: Path, path: str, code: str) -> None:
    error = failure(server, path, tmp_path)
    assert isinstance(error, Rejected)
    assert error.code == code


@pytest.mark.parametrize("path", ["status/500", "status/503", "status/408", "cut"])
def test_what_may_succeed_later(server: _Server, tmp_path: Path, path: str) -> None:
    assert type(failure(server, path, tmp_path)) is Retryable


def test_too_many_requests(server: _Server, tmp_path: Path) -> None:
    error = failure(server, "status/429", tmp_path)
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("wish", "seconds"), [("999999999", 30), ("9" * 400, 1), ("²", 1), ("-5", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1)]
)
def test_patience_has_its_limits(server: _Server, tmp_path: Path, wish: str, seconds: float) -> None:
    server.RequestHandlerClass.patience = wish  # type: ignore[attr-defined]
    error = failure(server, "status/429", tmp_path)
    assert isinstance(error, Overloaded)
    assert error.retry_after == seconds


def test_redirects_are_followed_three_times(server: _Server, tmp_path: Path) -> None:
    assert get(server, "around/2", tmp_path) == BODY


@pytest.mark.parametrize("path", ["ok", "endless"])
def test_the_byte_limit_holds_with_and_without_a_stated_length(server: _Server, tmp_path: Path, path: str) -> None:
    error = failure(server, path, tmp_path, MediaLimits(max_bytes=100_000, fetch_timeout_s=10))
    assert isinstance(error, Rejected)
    assert error.code == "too_large"


def test_a_dripping_host_meets_the_deadline(server: _Server, tmp_path: Path) -> None:
    error = failure(server, "drip", tmp_path, MediaLimits(fetch_timeout_s=0.3))
    assert type(error) is Retryable
    assert "in time" in str(error)


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:192.168.0.1"], ["fe80::1%eth0"]])
def test_every_address_of_a_listed_name_must_be_public(tmp_path: Path, answers: list[str]) -> None:
    with pytest.raises(Rejected) as caught:
        fetch(
            "http://media.test/x",
            MediaAccess(hosts=(NAME,)),
            MediaLimits(),
            tmp_path,
            is_allowed_address=is_public,
            lookup=lambda host, port: answers,
        )
    assert caught.value.code == "private_address"


def test_an_unknown_name_may_be_known_later(tmp_path: Path) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(Retryable, match="looked up"):
        fetch("http://media.test/x", MediaAccess(hosts=(NAME,)), MediaLimits(), tmp_path, lookup=unknown)


def test_the_name_is_looked_up_once_a_hop(server: _Server, tmp_path: Path) -> None:
    """A second answer would be the attacker's: the connection goes to the address that was checked."""
    port = server.server_address[1]
    asked: list[str] = []

    def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    fetch(
        f"http://{NAME}:{port}/ok",
        MediaAccess(hosts=(f"{NAME}:{port}",)),
        MediaLimits(),
        tmp_path,
        is_allowed_address=anything,
        lookup=rebinding,
    )
    assert asked == [NAME]
