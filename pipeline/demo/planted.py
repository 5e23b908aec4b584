"""Bad inputs, planted among the good ones: each must come out as `rejected`, with a reason that names what is wrong."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from materials.records import Kind


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """One bad line.

    Attributes:
        line: as it stands in the stream, without its line break.
        defect: what is wrong, for people.
    """

    stream: Kind
    line: bytes
    defect: str


class Planted(msgspec.Struct, frozen=True):
    """`files`: bytes by path relative to the input folder. `links`: symbolic links, path -> target."""

    bad: list[Bad]
    files: dict[str, bytes]
    links: dict[str, PurePosixPath]


_HTML: Final = b"<!doctype html><html><body><h1>404 Not Found</h1></body></html>\n"


def plant(jpeg: bytes, mp4: bytes) -> Planted:
    """The bad inputs; `jpeg` and `mp4` are good files that get damaged."""
    files = {
        "media/bad-cut-off.jpg": jpeg[: len(jpeg) * 2 // 5],
        "media/bad-empty.jpg": b"",
        "media/bad-page.jpg": _HTML,
        "media/bad-cut-off.mp4": mp4[: len(mp4) // 2],
        "media/bad-noise.mp4": bytes(range(256)) * 64,
    }
    links = {"media/bad-link.jpg": PurePosixPath("/etc/passwd")}
    bad = [
        _with_id("image", "bad-cut-off", "a JPEG cut off in the middle", media=["media/bad-cut-off.jpg"]),
        _with_id("image", "bad-empty", "an empty file", media=["media/bad-empty.jpg"]),
        _with_id("image", "bad-page", "a web page named .jpg", media=["media/bad-page.jpg"]),
        _with_id("image", "bad-missing", "a file that is not there", media=["media/bad-missing.jpg"]),
        _with_id("image", "bad-outside", "a path out of the folder", media=["../../../../../etc/passwd"]),
        _with_id("image", "bad-link", "a link out of the folder", media=["media/bad-link.jpg"]),
        _with_id("image", "bad-file-uri", "a file: address elsewhere", media=["file:///etc/passwd"]),
        _with_id("image", "bad-loopback", "a loopback address", media=["http://127.0.0.1:9/admin.jpg"]),
        _with_id("image", "bad-type", "`media` is a number", media=17),
        _with_id("image", "bad-two", "two media for one image", media=["media/china.jpg", "media/tiger.jpg"]),
        _bad("image", {"material_id": "bad/id !", "kind": "image", "media": ["media/china.jpg"]}, "a bad id"),
        Bad(
            stream="image",
            line=b'{"material_id": "bad-json", "kind": "image", "media": ["media/chi',
            defect="a broken JSON line",
        ),
        _with_id("video", "bad-video-cut-off", "an MP4 cut off in the middle", media=["media/bad-cut-off.mp4"]),
        _with_id("video", "bad-noise", "bytes that are no video", media=["media/bad-noise.mp4"]),
        _with_id("post", "bad-kind", "an unknown kind", kind="audio", text="a song"),
        _with_id("post", "bad-nothing", "a post with no content"),
        _with_id("post", "bad-blank", "a post of blanks only", text="  \n\t "),
        _bad("post", {"kind": "post", "text": "who am I?"}, "no id at all"),
    ]
    return Planted(bad, files, links)


def _with_id(stream: Kind, name: str, defect: str, **fields: Any) -> Bad:
    return _bad(stream, {"material_id": name, "kind": stream, **fields}, defect)


def _bad(stream: Kind, record: dict[str, Any], defect: str) -> Bad:
    return Bad(stream=stream, line=json.dumps(record, ensure_ascii=False).encode(), defect=defect)
