"""A worker's small HTTP endpoint: `/metrics` for Prometheus, `/recent.json` for people's tools."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

log = structlog.get_logger(__name__)

Page = Callable[[], tuple[str, bytes]]
"""Makes (content type, body)."""


class HttpEndpoint:
    """Serves pages in threads of its own, from construction on.

    Args:
        host, port: to listen on; port 0, or one that is taken: a free one.
        pages: path -> page.

    Raises:
        OSError: the host is none of this machine's.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        handler = type("Handler", (_Handler,), {"pages": dict(pages)})
        try:
            self._server = _Server((host, port), handler)
        except OSError:
            if not port:
                raise
            log.warning("metrics_port_taken", host=host, port=port)
            self._server = _Server((host, 0), handler)
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics-http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """A reader that went away is no news."""
        log.debug("metrics_request_failed", client=client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    pages: Mapping[str, Page] = {}
    timeout = 5

    def do_GET(self) -> None:
        """A page, or 404."""
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404)
            return
        content_type, body = page()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""
