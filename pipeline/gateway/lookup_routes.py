"""`/v1/materials`, `/v1/lookup` and `/v1/content`: what was decided, and who shares it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from pipeline.gateway.backend import Backend
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.mistakes import json_only
from pipeline.gateway.problems import ProblemError
from pipeline.gateway.schemas import (
    CONTENT_ID_PATTERN,
    ID_PATTERN,
    POLICY_PATTERN,
    Content,
    Evidence,
    LookupAnswer,
    LookupRequest,
    Material,
    Members,
)
from pipeline.gateway.settings import MAX_PAGE
from pipeline.gateway.strictness import known_query

MaterialPath = Annotated[
    str, Path(pattern=ID_PATTERN, description="As the producer chose it; a post's media: `P1/0`.", examples=["P1"])
]
ContentPath = Annotated[str, Path(pattern=CONTENT_ID_PATTERN, examples=["feed-abcdefghijklmnop"])]
PolicyQuery = Annotated[str, Query(pattern=POLICY_PATTERN, description="Whose content IDs.")]
MAX_ROW = 2**62


def lookup_routes(backend: Backend, metrics: GatewayMetrics) -> APIRouter:
    """The routes over a backend."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(known_query)])

    @router.get("/materials/{material_id:path}/evidence", tags=["materials"])
    async def evidence(material_id: MaterialPath, policy: PolicyQuery = "feed") -> Evidence:
        """Why a material got its content ID: everything that it was compared with."""
        found = await backend.evidence(material_id, policy)
        if found is None:
            raise _no_material(material_id, policy)
        return found

    @router.get("/materials/{material_id:path}", tags=["materials"])
    async def material(material_id: MaterialPath, policy: PolicyQuery = "feed") -> Material:
        """The content ID and outcome of one material."""
        metrics.materials.inc()
        [found] = await backend.materials([material_id], policy)
        if found.material is None:
            raise _no_material(material_id, policy)
        return found.material

    @router.post("/lookup", tags=["materials"], dependencies=[Depends(json_only)])
    async def lookup(body: LookupRequest) -> LookupAnswer:
        """The content IDs of up to 1,000 materials, in their order; unknown ones are null."""
        metrics.materials.inc(len(body.material_ids))
        results = await backend.materials(body.material_ids, body.policy)
        found = sum(one.material is not None for one in results)
        return LookupAnswer(policy=body.policy, found=found, results=results)

    @router.get("/content/{content_id}", tags=["content"])
    async def content(content_id: ContentPath) -> Content:
        """The canonical content ID after redirects."""
        found = await backend.content(content_id)
        if found is None:
            raise _no_content(content_id)
        return found

    @router.get("/content/{content_id}/members", tags=["content"])
    async def members(
        request: Request,
        response: Response,
        content_id: ContentPath,
        after: Annotated[int, Query(ge=0, le=MAX_ROW, description="`next` of the page before.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    ) -> Members:
        """The materials with a content ID, oldest first, a page at a time."""
        found = await backend.members(content_id, after, limit)
        if found is None:
            raise _no_content(content_id)
        if found.next is not None:
            following = request.url.include_query_params(after=found.next, limit=limit)
            response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
        return found

    return router


def _no_material(material_id: str, policy: str) -> ProblemError:
    return ProblemError(
        404,
        "unknown-material",
        f"{material_id} was never decided under the policy {policy}",
        "check the id, and the policy of the job that it went through",
    )


def _no_content(content_id: str) -> ProblemError:
    return ProblemError(
        404,
        "unknown-content",
        f"{content_id} was never minted here",
        "GET /v1/materials/ID shows a material's content ID",
    )
