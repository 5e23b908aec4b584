"""KServe v2 over HTTP/1.1 with kept connections.

urllib3 does the protocol, in threads: HTTP is the way to servers that speak no gRPC, and costs a fraction of a
millisecond more a call. Prefer gRPC where a server has both.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import msgspec
import urllib3

from materials.errors import Retryable
from model_plugins.call_errors import AttemptTimedOut, ServerGone
from model_plugins.transports.http_messages import HEADER_LENGTH, decode_response, encode_request, http_error
from model_plugins.transports.transport import Answer, Batch

_CONNECTIONS = 64
_BINARY = "binary_tensor_data"


class HttpTransport:
    """A pool of connections to one server.

    Args:
        url: `http://host:port`, or `https://…`; a path in front of `/v2` is kept.
    """

    def __init__(self, url: str) -> None:
        parsed = urllib3.util.parse_url(url)
        self._url = url
        self._base = (parsed.path or "").rstrip("/")
        self._pool = urllib3.connection_from_url(url, maxsize=_CONNECTIONS, retries=False)
        self._threads = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="kserve-http")
        self._binary: bool | None = None

    async def infer(self, batch: Batch, seconds: float) -> Answer:
        """One call, binary when the server's metadata lists the extension."""
        model = batch.model
        until = asyncio.get_running_loop().time() + seconds
        if self._binary is None:
            self._binary = await self._lists_binary(model.name, seconds)
        body, headers = encode_request(batch, self._binary)
        left = until - asyncio.get_running_loop().time()
        answer = await self._ask(
            "POST", f"{self._path(model.name, model.version)}/infer", left, model.name, body, headers
        )
        if answer.status != 200:
            raise http_error(answer.status, answer.data, model.name, self._url)
        return decode_response(model, batch.rows, answer.data, answer.headers.get(HEADER_LENGTH))

    async def ready(self, model: str, version: str, seconds: float) -> bool:
        """What `/v2/models/…/ready` says."""
        try:
            answer = await self._ask("GET", f"{self._path(model, version)}/ready", seconds, model)
        except Retryable:
            return False
        return bool(answer.status == 200)

    async def close(self, grace: float | None = None) -> None:
        """Close the connections; a thread that waits for a server ends with its own time-out."""
        self._threads.shutdown(wait=False, cancel_futures=grace is None)
        self._pool.close()

    def _path(self, model: str, version: str) -> str:
        where = f"{self._base}/v2/models/{quote(model, safe='')}"
        return f"{where}/versions/{quote(version, safe='')}" if version else where

    async def _lists_binary(self, model: str, seconds: float) -> bool:
        answer = await self._ask("GET", f"{self._base}/v2", seconds, model)
        if answer.status != 200:
            return False
        try:
            return _BINARY in msgspec.json.decode(answer.data).get("extensions", ())
        except (msgspec.MsgspecError, AttributeError):
            return False

    async def _ask(
        self,
        method: str,
        path: str,
        seconds: float,
        model: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        where = f"model {model!r} at {self._url}"
        if seconds <= 0:
            raise AttemptTimedOut(f"{where}: no time is left")

        def send() -> urllib3.BaseHTTPResponse:
            timeout = urllib3.Timeout(total=seconds)
            try:
                return self._pool.request(method, path, body=body, headers=headers, timeout=timeout)
            except urllib3.exceptions.ProtocolError:
                # a kept connection that the server closed just now: no fault; a second one in a row is
                return self._pool.request(method, path, body=body, headers=headers, timeout=timeout)

        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, send)
        except (TimeoutError, urllib3.exceptions.ReadTimeoutError) as error:
            raise AttemptTimedOut(f"{where}: no answer within {seconds:.2f} s") from error
        except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError) as error:
            raise ServerGone(f"{where}: nobody listens") from error
        except urllib3.exceptions.ProtocolError as error:
            raise ServerGone(f"{where}: the connection broke") from error
        except urllib3.exceptions.HTTPError as error:
            raise Retryable(f"{where}: {error}") from error
