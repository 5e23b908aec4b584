"""Taking request bodies in: bounded in bytes and in time, and counted while they come."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from pipeline.gateway.problems import ProblemError


def refuse_large(request: Request, most: int) -> None:
    """Look at the stated length before the first byte is read.

    Raises:
        ProblemError: 413.
    """
    stated = request.headers.get("content-length", "0")
    if stated.isascii() and stated.isdecimal() and int(stated[:19]) > most:
        raise _too_large(most)


async def read_json(request: Request, most: int, seconds: float) -> bytes:
    """A small body.

    Raises:
        ProblemError: 413, or 408 when it comes too slowly.
    """
    refuse_large(request, most)
    body = bytearray()
    async for chunk in _chunks(request, most, seconds):
        body += chunk
    return bytes(body)


@asynccontextmanager
async def uploaded(request: Request, folder: Path, most: int, seconds: float) -> AsyncIterator[Path]:
    """A body as a file that is gone at the end of the block.

    Raises:
        ProblemError: 413, 408, or 422 for an empty one.
    """
    refuse_large(request, most)
    own = folder / secrets.token_hex(8)
    own.mkdir(0o700)
    path = own / "upload"
    try:
        total = 0
        with path.open("xb") as file:
            async for chunk in _chunks(request, most, seconds):
                total += len(chunk)
                await asyncio.to_thread(file.write, chunk)
        if not total:
            raise ProblemError(422, "empty-body", "the body is empty", "send the medium's bytes as the body")
        yield path
    finally:
        path.unlink(missing_ok=True)
        own.rmdir()


async def _chunks(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    total = 0
    end = asyncio.get_running_loop().time() + seconds
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(end):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise ProblemError(
                408, "slow-body", f"the body did not arrive within {seconds:g} s", "send it faster, or send less"
            ) from None
        if chunk is None:
            return
        total += len(chunk)
        if total > most:
            raise _too_large(most)
        yield chunk


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, "too-large", f"the body is larger than {most} bytes", f"send at most {most} bytes")
