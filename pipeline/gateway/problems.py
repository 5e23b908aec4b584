"""Errors as problem documents (RFC 9457) that name the field and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from materials.errors import Overloaded, Permanent, Rejected, Retryable, UsageError

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:sosie:problem:"


class FieldProblem(BaseModel):
    """One field of a request that is wrong."""

    field: str = Field(description="Where, e.g. `body.material_ids.3` or `query.limit`.")
    problem: str
    remedy: str = ""


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    type: str = Field(description="Stable name of the kind of problem, as a URN.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked.")
    remedy: str = Field("", description="What to do about it.")
    errors: list[FieldProblem] = []


class ProblemError(Exception):
    """Ends a request with a problem document.

    Args:
        status: HTTP status code.
        code: stable name, the end of `type`.
        detail: what is wrong, in a sentence.
        remedy: what would be right.
        errors: the fields.
        headers: further ones of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        remedy: str = "",
        errors: Iterable[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.remedy = status, code, detail, remedy
        self.errors = list(errors)
        self.headers = dict(headers or {})


def document(error: ProblemError, path: str) -> JSONResponse:
    """The answer."""
    problem = Problem(
        type=TYPE + error.code,
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        instance=path,
        remedy=error.remedy,
        errors=error.errors,
    )
    headers = {"Cache-Control": "no-store", **error.headers}
    return JSONResponse(problem.model_dump(), error.status, headers, MEDIA_TYPE)


def of_house_error(error: Exception) -> ProblemError:
    """An error of another room. What is retryable is 503 with Retry-After; a caller's mistake 422."""
    if isinstance(error, Overloaded):
        wait = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
        return ProblemError(503, "overloaded", str(error), "ask again after the pause in Retry-After", headers=wait)
    if isinstance(error, Retryable):
        return ProblemError(
            503,
            "unavailable",
            str(error),
            "ask again in a moment; /health says what is away",
            headers={"Retry-After": "1"},
        )
    if isinstance(error, Rejected):
        return ProblemError(422, error.code.replace("_", "-"), error.sentence, "send another medium")
    if isinstance(error, UsageError):
        if error.message.startswith("unknown policy"):
            return ProblemError(404, "unknown-policy", error.message, error.remedy)
        return ProblemError(422, "invalid-request", error.message, error.remedy)
    if isinstance(error, Permanent):
        return ProblemError(502, "failed", str(error), "look into the gateway's log")
    return ProblemError(500, "defect", "the gateway failed on this request", "report it, with the request")


def _of_http(error: HTTPException) -> ProblemError:
    codes = {400: "malformed-body", 404: "no-such-path", 405: "method-not-allowed"}
    remedy = "GET /openapi.json lists what there is"
    detail = str(error.detail)
    return ProblemError(
        error.status_code, codes.get(error.status_code, "http"), detail, remedy, headers=error.headers or {}
    )


def add_handlers(app: FastAPI, of_validation: Callable[[RequestValidationError], ProblemError]) -> None:
    """Every error of an app becomes a problem document.

    Args:
        of_validation: what a request got wrong, in words.
    """

    async def handle(request: Request, error: Exception) -> Response:
        path = request.url.path
        if isinstance(error, ProblemError):
            return document(error, path)
        if isinstance(error, RequestValidationError):
            return document(of_validation(error), path)
        if isinstance(error, HTTPException):
            return document(_of_http(error), path)
        if isinstance(error, ClientDisconnect):
            return Response(status_code=400)  # nobody reads it
        return document(of_house_error(error), path)

    ours: tuple[type[Exception], ...] = (Overloaded, Retryable, Rejected, UsageError, Permanent)
    for kind in (ProblemError, RequestValidationError, HTTPException, ClientDisconnect, *ours):
        app.add_exception_handler(kind, handle)
