"""One hostile input: a line, and what it names."""

from __future__ import annotations

import json
from typing import Any

import msgspec


class Case(msgspec.Struct, frozen=True):
    """`name`: also its material id, unless the line has none that can be read. `family`: what it attacks.

    `mutant`: made by the fuzzer, so that nobody knows beforehand whether it is still a whole picture.
    """

    name: str
    family: str
    line: bytes
    mutant: bool = False


def case(family: str, name: str, kind: str = "image", medium: str | None = None, **fields: Any) -> Case:
    """A case whose line is sound: what is hostile is the medium, or one of the fields."""
    identity = f"{family}-{name}"
    record: dict[str, Any] = {"material_id": identity, "kind": kind}
    if medium is not None:
        record["media"] = [medium]
    return Case(identity, family, json.dumps(record | fields).encode())
