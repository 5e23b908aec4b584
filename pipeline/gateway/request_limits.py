"""Bounds on JSON bodies, before FastAPI reads them whole. Uploads have bounds of their own (`bodies`)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.gateway.bodies import read_json
from pipeline.gateway.problems import ProblemError, document
from pipeline.gateway.settings import GatewaySettings

UPLOADS = frozenset({"/v1/search/media"})


class RequestLimits:
    """Reads each small body itself, bounded in bytes and time, and hands it on."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] in UPLOADS or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            most, seconds = self._settings.max_json_bytes, self._settings.upload_seconds
            body = await read_json(Request(scope, receive), most, seconds)
        except ProblemError as error:
            await document(error, scope["path"])(scope, receive, send)
            return
        handed = False

        async def again() -> Message:
            nonlocal handed
            if handed:
                return await receive()  # waits for the end of the connection
            handed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)
