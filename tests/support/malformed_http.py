"""Malformed HTTP requests, from a seed, as raw bytes for a socket."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "QUERY", "get", "G\x00T", "", "X" * 40)
PATHS = (
    "/", "/v1/materials/A", "/v1/materials/A/evidence", "/v1/lookup", "/v1/content/feed-abcdefghijklmnop",
    "/v1/content/feed-abcdefghijklmnop/members", "/v1/search/text", "/v1/search/media", "/health", "/metrics",
    "/openapi.json", "/v1/materials/", "/v1/materials/../../etc/passwd", "/v1/materials/%2e%2e%2f", "/%00",
    "/v1/%ff%fe", "//", "/v1/materials/" + "A" * 5000, "*", "http://elsewhere/v1/materials/A",
    "/v1/materials/A%0d%0aX-Y:1", "\\",
)  # fmt: skip
QUERIES = (
    "", "?", "?policy=feed", "?policy=", "?policy=%00", "?policy=feed&policy=feed", "?limit=0", "?limit=-1",
    "?limit=1e3",
    "?limit=" + "9" * 5000, "?after=" + "9" * 30, "?after=NaN", "?q=%3Cscript%3Ealert(1)%3C/script%3E", "?q=%ff%fe",
    "?k=101&kind=audio", "?" + "a=1&" * 2000, "?policy[]=feed", "?policy=" + "f" * 3000, "?%=1", "?q=A&after=-1",
)  # fmt: skip
HEADERS = (
    "Content-Type: application/json", "Content-Type: ", "Content-Type: application/json; charset=utf-16",
    "Content-Type: image/jpeg", "Content-Type: video/mp4", "Content-Type: text/html", "Accept: \x01",
    "X" * 3000 + ": 1", "Authorization: Bearer \xff", "Authorization: Basic ====", "If-None-Match: \"",
    "If-None-Match: *", "Range: bytes=9-1",
    "Transfer-Encoding: gzip, chunked", "Expect: 100-continue", "Content-Encoding: gzip", "Cookie: " + "a" * 4000,
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x", "No colon here", ": empty",
    "Host: evil.example",
)  # fmt: skip
VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1e308, "", "A", "P/0", "\x00", "\ud800", "feed", [], {}, [[]], ["A"] * 1001, ["A", 3],
    "é" * 20_000, {"material_ids": []}, ["A" * 129],
)  # fmt: skip
FIELDS = ("material_ids", "policy", "text", "k", "extra", "")


class Request(NamedTuple):
    """What is sent. `whole`: the server can see its end, and so answers; else it may wait for more."""

    raw: bytes
    whole: bool


def requests(seed: int, count: int, host: str) -> Iterator[Request]:
    """`count` requests; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        method = rng.choice(METHODS[:2] * 5 + METHODS)
        body = _body(rng)
        lines = [f"{method} {rng.choice(PATHS)}{rng.choice(QUERIES)} HTTP/1.{rng.choice('1111109')}"]
        if rng.random() < 0.95:
            lines.append(f"Host: {host}")
        lines.append("Connection: close")
        lines += [rng.choice(HEADERS) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        stated = rng.random()
        if stated < 0.8:
            lines.append(f"Content-Length: {len(body)}")
        elif stated < 0.9:
            lines.append(f"Content-Length: {rng.choice((len(body) // 2, 0, -1, 10**12, 10**30, 'x'))}")
        elif stated < 0.95:
            lines.append("Transfer-Encoding: chunked")
            body = rng.choice((b"", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffff\r\n", b"zz\r\n", b"-1\r\n\r\n"))
        raw = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
        if rng.random() < 0.1:
            yield Request(raw[: rng.randrange(len(raw))], whole=False)
        else:
            yield Request(raw, whole=not 0.8 <= stated < 0.95)


def _body(rng: random.Random) -> bytes:
    act = rng.randrange(6)
    if act == 0:
        return b""
    if act == 1:
        return rng.randbytes(rng.choice((1, 50, 5000)))
    if act == 2:
        return rng.choice(
            (b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"NaN", b'"\\ud800"', b"{", b"\xef\xbb\xbf{}")
        )
    if act == 3:
        return rng.choice(
            (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBP")
        ) + rng.randbytes(rng.choice((0, 20, 2000)))
    document = {rng.choice(FIELDS): rng.choice(VALUES) for _ in range(rng.randint(0, 4))}
    if rng.random() < 0.3:
        document |= {"material_ids": ["A", "B"]}
    return json.dumps(document).encode()
