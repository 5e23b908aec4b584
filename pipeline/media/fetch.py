"""Fetching a medium over http(s) into a file, from listed hosts at public addresses only.

A name is looked up once; every address that it has must be public, and the connection goes to the address that was
looked at, so that a second, different DNS answer (rebinding) changes nothing. Redirects go through the same checks.
Proxies named in the environment are not used: they would undo the pinning.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urljoin

from materials.errors import Overloaded, Rejected, Retryable
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.shown import shown
from pipeline.media.urls import DEFAULT_PORTS, Address, AddressTest, RemoteFile, is_public, parse_url

MAX_REDIRECTS = 3
MAX_PATIENCE_S = 30.0
"""Seconds that a host's `Retry-After` may ask for."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 64 * 1024
_HEADERS = {"Accept": "image/*, video/*, */*;q=0.1", "Accept-Encoding": "identity", "User-Agent": "sosie"}

Lookup = Callable[[str, int], Sequence[str]]
"""(host, port) -> addresses as text; raises OSError."""


def system_lookup(host: str, port: int) -> list[str]:
    """Every address that the system's resolver knows."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def fetch(
    url: str,
    access: MediaAccess,
    limits: MediaLimits,
    folder: Path,
    *,
    is_allowed_address: AddressTest = is_public,
    lookup: Lookup = system_lookup,
) -> Path:
    """Download a medium into a new file in `folder`; the caller removes it.

    Raises:
        Rejected: `bad_url`, `scheme_not_allowed`, `host_not_allowed`, `private_address`, `too_many_redirects`,
            `missing_file` (404, 410), `forbidden` (401, 403), `fetch_refused` (other 4xx), `empty_file`, `too_large`.
        Retryable: 5xx, 408, 425; the host is not found or does not answer; the answer breaks off; the time is up.
        Overloaded: 429, with the host's `Retry-After`.
    """
    end = time.monotonic() + limits.fetch_timeout_s
    remote = parse_url(url, access.hosts)
    for _ in range(MAX_REDIRECTS + 1):
        address = _vetted_address(remote, url, is_allowed_address, lookup)
        with _Connection(remote, address, end, url) as connection:
            response = connection.get(remote.target)
            if response.status in _REDIRECTS:
                remote = _next_hop(remote, response.headers.get("Location"), url, access)
                continue
            _check_status(response, url)
            return _save(connection, response, url, limits, folder)
    raise Rejected(
        "too_many_redirects", f"{shown(url)} redirects more than {MAX_REDIRECTS} times; give the final address"
    )


def _vetted_address(remote: RemoteFile, url: str, is_allowed_address: AddressTest, lookup: Lookup) -> Address:
    try:
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in lookup(remote.host, remote.port)]
    except OSError as error:
        raise Retryable(f"the host of {shown(url)} cannot be looked up: {error}") from error
    if not addresses:
        raise Retryable(f"the host of {shown(url)} has no address")
    for address in addresses:
        if not is_allowed_address(address):
            raise Rejected(
                "private_address",
                f"{shown(url)} leads to a loopback, private or link-local address; media must be public",
            )
    return addresses[0]


def _next_hop(remote: RemoteFile, location: str | None, url: str, access: MediaAccess) -> RemoteFile:
    if not location:
        raise Rejected("bad_url", f"{shown(url)} redirects to nowhere; give the final address")
    try:
        # what a stranger's server answers stays out of the reason: only the first address is the producer's own
        hop = parse_url(urljoin(remote.url, location), access.hosts)
    except (Rejected, ValueError) as error:
        code = error.code if isinstance(error, Rejected) else "bad_url"
        raise Rejected(code, f"{shown(url)} redirects to an address that is not allowed ({code})") from error
    if remote.scheme == "https" and hop.scheme == "http":
        raise Rejected("scheme_not_allowed", f"{shown(url)} redirects from https to http; give an https address")
    return hop


def _check_status(response: http.client.HTTPResponse, url: str) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    if status in (404, 410):
        raise Rejected("missing_file", f"{shown(url)} does not exist there (HTTP {status}); check the address")
    if status in (401, 403):
        raise Rejected("forbidden", f"{shown(url)} may not be fetched (HTTP {status}); give a public or presigned URL")
    if status == 429:
        wait = response.headers.get("Retry-After") or ""
        # a stranger's wish, and a record waits for it: not for as long as a stranger likes
        patience = min(float(wait), MAX_PATIENCE_S) if re.fullmatch(r"[0-9]{1,9}", wait) else 1.0
        raise Overloaded(f"the host of {shown(url)} asks for patience (HTTP 429)", patience)
    if 400 <= status < 500 and status not in (408, 425):
        raise Rejected("fetch_refused", f"{shown(url)} was refused by its host (HTTP {status}); check the address")
    raise Retryable(f"the host of {shown(url)} answered HTTP {status}")


def _save(
    connection: _Connection, response: http.client.HTTPResponse, url: str, limits: MediaLimits, folder: Path
) -> Path:
    too_large = Rejected("too_large", f"{shown(url)} is larger than the limit of {limits.max_bytes} bytes; shrink it")
    if (response.length or 0) > limits.max_bytes:
        raise too_large
    fd, name = tempfile.mkstemp(dir=folder, prefix="fetched-")
    try:
        total = 0
        with os.fdopen(fd, "wb") as file:
            while chunk := connection.read(response):
                total += len(chunk)
                if total > limits.max_bytes:
                    raise too_large
                file.write(chunk)
        if response.length:  # read1 ends silently where the peer hangs up
            raise Retryable(f"the answer for {shown(url)} broke off")
        if total == 0:
            raise Rejected("empty_file", f"{shown(url)} has no content (0 bytes); upload it again")
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


class _Connection:
    """One request to one pinned address, with one deadline for everything.

    Timeouts of sockets are per call: a peer that sends a byte now and then would never meet one. So a timer shuts the
    socket down when the time is up, and whatever waits on it returns.
    """

    def __init__(self, remote: RemoteFile, address: Address, end: float, url: str) -> None:
        self._end = end
        self._url = url
        left = end - time.monotonic()
        if left <= 0:
            raise self._late()
        self._http = _PinnedConnection(remote, str(address), left)
        self._timer = threading.Timer(left, self._http.cut)
        self._timer.daemon = True
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> _Connection:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._http.cut()
        if self._response is not None:
            self._response.close()
        self._http.close()

    def get(self, target: str) -> http.client.HTTPResponse:
        """Send the request, and read the answer's head."""
        try:
            self._http.request("GET", target, headers=_HEADERS)
            self._response = self._http.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        return self._response

    def read(self, response: http.client.HTTPResponse) -> bytes:
        """The next piece of the body; empty at its end."""
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        if time.monotonic() >= self._end:
            raise self._late()
        return chunk

    def _failed(self, error: Exception) -> Retryable:
        if time.monotonic() >= self._end:
            return self._late()
        return Retryable(f"{shown(self._url)} could not be fetched: {type(error).__name__}: {error}")

    def _late(self) -> Retryable:
        return Retryable(f"{shown(self._url)} was not fetched in time")


class _PinnedConnection(http.client.HTTPConnection):
    """Connects to an address while `Host`, SNI and the certificate's name are those of the URL."""

    def __init__(self, remote: RemoteFile, address: str, timeout: float) -> None:
        self.default_port = DEFAULT_PORTS[remote.scheme]  # so that `Host` names the port only where it must
        super().__init__(remote.host, remote.port, timeout=timeout)
        self._address = address
        self._secure = remote.scheme == "https"
        self._live: socket.socket | None = None

    def connect(self) -> None:
        self.sock = self._live = socket.create_connection((self._address, self.port), self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            secure = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self._live = secure
            secure.do_handshake()

    def cut(self) -> None:
        """End every read and write, also one that another thread waits in."""
        if self._live is not None:
            with contextlib.suppress(OSError):  # already closed
                # not SSLSocket.shutdown, which would let the reader go on in clear text
                socket.socket.shutdown(self._live, socket.SHUT_RDWR)
