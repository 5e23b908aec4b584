"""The application: routes, errors, edge and OpenAPI of one gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from pipeline.gateway.backend import Backend
from pipeline.gateway.edge import LIVE, Edge
from pipeline.gateway.lookup_routes import lookup_routes
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.mistakes import of_validation
from pipeline.gateway.page import page_routes
from pipeline.gateway.problems import MEDIA_TYPE, Problem, add_handlers
from pipeline.gateway.request_limits import RequestLimits
from pipeline.gateway.schemas import Health
from pipeline.gateway.search_routes import search_routes
from pipeline.gateway.settings import GatewaySettings
from pipeline.gateway.strictness import known_query
from vector_index.tokens import Gate

PROBLEMS = {
    "400": "The body is no JSON; the detail says where.",
    "401": "A token is needed.",
    "404": "There is no such thing, or its name cannot be one.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is of another type, or says none.",
    "422": "A field is wrong; `errors` names it.",
    "503": "Overloaded, or a part is away; ask again after Retry-After.",
}

OF_BODIES = ("400", "408", "413", "415")
"""Only where there is a body to be wrong."""


def make_app(settings: GatewaySettings, make_backend: Callable[[GatewaySettings], Backend] = Backend) -> ASGIApp:
    """One gateway as an ASGI application. The backend is made when it starts, in the server's event loop.

    Raises:
        materials.errors.UsageError: the read token file cannot be used.
    """
    metrics = GatewayMetrics()
    gate = Gate(settings.read_token_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        backend = make_backend(settings)
        _add_routes(app, backend, metrics, settings)
        try:
            yield
        finally:
            await backend.close()

    app = FastAPI(
        title="sosie",
        version=version("sosie"),
        summary="Content IDs: look up, explain, search. Read-only.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    add_handlers(app, of_validation)
    return Edge(RequestLimits(app, settings), gate, settings.hosts, metrics)


def _add_routes(app: FastAPI, backend: Backend, metrics: GatewayMetrics, settings: GatewaySettings) -> None:
    app.include_router(lookup_routes(backend, metrics))
    app.include_router(search_routes(backend, metrics, settings))
    app.include_router(page_routes(backend))

    @app.get("/health", tags=["operation"], responses={503: {"model": Health}}, dependencies=[Depends(known_query)])
    async def health(response: Response) -> Health:
        """Whether everything that answers need is there."""
        parts = await backend.health()
        well = all(state == "ok" for state in parts.values())
        response.status_code = 200 if well else 503
        response.headers["Cache-Control"] = "no-store"
        return Health(status="ok" if well else "degraded", parts=parts)

    @app.get(LIVE, tags=["operation"], dependencies=[Depends(known_query)])
    async def live(response: Response) -> Health:
        """Whether this process answers."""
        response.headers["Cache-Control"] = "no-store"
        return Health(status="ok", parts={})

    @app.get(
        "/metrics",
        tags=["operation"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        dependencies=[Depends(known_query)],
    )
    async def prometheus() -> Response:
        """For Prometheus."""
        text = metrics.text()
        return Response(text, headers={"Cache-Control": "no-store"}, media_type="text/plain; version=0.0.4")

    document = _openapi(app, secured=settings.read_token_file is not None)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return document


def _openapi(app: FastAPI, secured: bool) -> dict[str, Any]:
    """OpenAPI 3.1, with every error as a problem document."""
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            for status, description in PROBLEMS.items():
                if status == "401" and not (secured and not path.startswith("/health")):
                    continue
                if not path.startswith("/v1") and status not in ("401", "422"):
                    continue
                if status in OF_BODIES and "requestBody" not in operation:
                    continue
                responses[status] = {"description": description, "content": content}
            if secured and not path.startswith("/health"):
                operation["security"] = [{"token": []}]
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document
