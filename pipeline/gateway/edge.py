"""What every request meets first: whose host, whose token, how large a body; and what every answer gets last.

Pure ASGI, so that a body is never read for a request that is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import time
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.problems import ProblemError, document, of_house_error
from vector_index.tokens import Gate

LIVE = "/health/live"
OPEN = frozenset({LIVE, "/health"})
"""Paths that need no token: probes have none."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_PATHS = {"/": "public, max-age=300", "/openapi.json": "public, max-age=300"}
_ETAG_BYTES = 4 << 20
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
}

log = structlog.get_logger(__name__)


class Edge:
    """Outermost middleware.

    Args:
        app: the application.
        gate: who may read.
        hosts: names under which the gateway is reached, beside this machine's.
        metrics: counts.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        hosts: tuple[str, ...],
        metrics: GatewayMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._gate, self._metrics, self._clock = app, gate, metrics, clock
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock()
        answer = _Answer(scope, send)
        self._metrics.in_flight.inc()
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await document(refusal, scope["path"])(scope, receive, answer.send)
            else:
                await self._run(scope, receive, answer)
        finally:
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.answered(method, route, answer.status, self._clock() - began)

    async def _run(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            log.exception("gateway_defect", path=scope["path"], method=scope["method"])
            if answer.status:
                raise
            await document(of_house_error(error), scope["path"])(scope, receive, answer.send)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            return ProblemError(
                421, "wrong-host", "this gateway is not reached under that name", "start it with --host-name NAME"
            )
        if scope["path"] not in OPEN and not self._gate.admits(_shown(headers)):
            return ProblemError(
                401,
                "token-needed",
                "this gateway asks for a token",
                "send `Authorization: Bearer TOKEN`; in a browser, the token is the password",
                headers={"WWW-Authenticate": 'Bearer realm="sosie", Basic realm="sosie", charset="UTF-8"'},
            )
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.strip("[]").rstrip(".").lower()
        if name in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _shown(headers: Headers) -> list[tuple[str, str | bytes]]:
    """The credentials of a request; a browser's Basic password counts as the token."""
    value = headers.get("authorization", "")
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            password = base64.b64decode(rest, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return []
        return [("authorization", "Bearer " + password.decode("latin-1"))]
    return [("authorization", value)]


class _Answer:
    """Sends one answer on, with the headers that all get, and an entity tag where it is asked for again and again."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._start: Message | None = None
        self._body = bytearray()
        self.status = 0

    async def send(self, message: Message) -> None:
        """As ASGI's."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", self._caching())
            if self._tagged(headers):
                self._start = message
                return
        elif self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._finish(self._start, message)
            return
        await self._send(message)

    def _caching(self) -> str:
        if self._scope["method"] not in ("GET", "HEAD") or self.status != 200:
            return "no-store"
        # what was decided may be merged, split or revised at any time: kept, but asked for again
        return _PATHS.get(self._scope["path"], "private, no-cache")

    def _tagged(self, headers: MutableHeaders) -> bool:
        if self._scope["method"] != "GET" or self.status != 200 or "no-store" in headers["cache-control"]:
            return False
        return int(headers.get("content-length", _ETAG_BYTES + 1)) <= _ETAG_BYTES

    async def _finish(self, start: Message, end: Message) -> None:
        self._start = None
        tag = f'"{hashlib.blake2b(self._body, digest_size=12).hexdigest()}"'
        headers = MutableHeaders(scope=start)
        headers["ETag"] = tag
        headers.append("Vary", "Authorization")
        if _matches(Headers(scope=self._scope).get("if-none-match", ""), tag):
            start = {**start, "status": 304}
            for name in ("content-length", "content-type"):
                del headers[name]
            start["headers"] = headers.raw
            self.status = 304
            self._body.clear()
        await self._send(start)
        await self._send({**end, "body": bytes(self._body)})


def _matches(asked: str, tag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    return asked.strip() == "*" or any(one.strip().removeprefix("W/") == tag for one in asked.split(","))
