"""House errors as status codes of gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

import grpc
import structlog

from materials.errors import Overloaded, Retryable, UsageError
from vector_index.gatekeeper import REMEDY_KEY, RETRY_AFTER_KEY

ABORT_UNSAFE = str.maketrans({"\x00": " "})

logger = structlog.get_logger(__name__)
Request = TypeVar("Request")
Response = TypeVar("Response")
Method = Callable[[Any, Request, Any], Coroutine[Any, Any, Response]]


def typed_errors(method: Method[Request, Response]) -> Method[Request, Response]:
    """House errors -> INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE; any other is a defect: INTERNAL, logged."""

    @wraps(method)
    async def answer(self: Any, request: Request, context: Any) -> Response:
        try:
            return await method(self, request, context)
        except UsageError as error:
            remedy = ((REMEDY_KEY, error.remedy.encode()),)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _line(error.message), remedy)
        except Overloaded as error:
            wait = ((RETRY_AFTER_KEY, f"{error.retry_after:.3f}"),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _line(str(error)), wait)
        except Retryable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, _line(str(error)))
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:
            logger.exception("call failed", method=method.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, _line(f"{type(error).__name__}: {error}"))
        raise AssertionError("abort does not return")

    return answer


def _line(text: str) -> str:
    return text.translate(ABORT_UNSAFE)[:2000]
