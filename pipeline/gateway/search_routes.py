"""`/v1/search`: what shares content with a medium or a text that is sent; nothing is stored."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request

from pipeline.gateway.backend import Backend
from pipeline.gateway.bodies import uploaded
from pipeline.gateway.lookup_routes import PolicyQuery
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.mistakes import json_only
from pipeline.gateway.problems import ProblemError
from pipeline.gateway.schemas import Match, SearchAnswer, TextSearchRequest
from pipeline.gateway.settings import MAX_K, GatewaySettings
from pipeline.gateway.strictness import known_query

ANY = "application/octet-stream"
UPLOAD = {
    "requestBody": {
        "required": True,
        "description": "The file itself, no form.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary", "minLength": 1}}
            for kind in (ANY, "image/jpeg", "image/png", "image/webp", "video/mp4", "video/webm")
        },
    }
}


def search_routes(backend: Backend, metrics: GatewayMetrics, settings: GatewaySettings) -> APIRouter:
    """The routes over a backend."""
    router = APIRouter(prefix="/v1/search", tags=["search"], dependencies=[Depends(known_query)])

    @router.post("/text", dependencies=[Depends(json_only)])
    async def search_text(body: TextSearchRequest) -> SearchAnswer:
        """Posts whose text shares content with this one."""
        metrics.searches.labels("text").inc()
        await backend.known_policy(body.policy)
        async with backend.extraction.turn_for_upload():
            features = await backend.extraction.of_text(body.text)
        found = await backend.search("post", body.policy, features, body.text, body.k)
        return SearchAnswer(policy=body.policy, kind="post", candidates=[Match.of(one) for one in found])

    @router.post("/media", openapi_extra=UPLOAD)
    async def search_media(
        request: Request,
        kind: Annotated[
            Literal["image", "video"] | None, Query(description="Default: by the content type; else an image.")
        ] = None,
        policy: PolicyQuery = "feed",
        k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
    ) -> SearchAnswer:
        """Images or videos that share content with the file in the body; a video also in part, with its segments."""
        metrics.searches.labels("media").inc()
        medium = kind or _kind_of(request)
        await backend.known_policy(policy)
        extraction, limits = backend.extraction, settings.limits
        async with (
            extraction.turn_for_upload(),
            uploaded(request, extraction.uploads, limits.max_bytes, settings.upload_seconds) as path,
        ):
            features = await extraction.of_file(path, medium)
        found = await backend.search(medium, policy, features, "", k)
        return SearchAnswer(policy=policy, kind=medium, candidates=[Match.of(one) for one in found])

    return router


def _kind_of(request: Request) -> Literal["image", "video"]:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    family = PurePosixPath(given).parts[:1]
    if family == ("video",):
        return "video"
    if given in ("", ANY) or family == ("image",):
        return "image"
    raise ProblemError(
        415, "not-a-medium", f"the content type {given[:100]!r} is neither an image nor a video", f"send it as {ANY}"
    )
