"""Labelled pairs: their file, and the score that a running index gives each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from deploy.addresses import Addresses
from materials.errors import UsageError
from materials.records import Candidate, Kind
from pipeline import lookups
from pipeline.understanding import media_kind
from vector_index.content.client import ContentClient

FORM = '{"a": "P1", "b": "P2", "same": true}'


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that is not stored."""

    text: str


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image or a video that is not stored; relative to the pairs' file."""

    file: str


Given = Text | File


class LabelledPair(msgspec.Struct, frozen=True):
    """`a` and `b` are materials of the index, by id; at most `a` is something else."""

    a: str | Given
    b: str
    same: bool
    line: int


class JudgedPair(msgspec.Struct, frozen=True):
    """A pair with its score."""

    pair: LabelledPair
    kind: Kind
    score: float


def read_pairs(path: Path) -> list[LabelledPair]:
    """The pairs of a file of JSON lines.

    Raises:
        UsageError: it cannot be read, or a line is no pair; with the line's number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", f"give JSON lines such as {FORM}") from None
    pairs = [_pair(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise UsageError(f"{path} holds no pair", f"give JSON lines such as {FORM}")
    return pairs


def _pair(line: str, number: int, path: Path) -> LabelledPair:
    try:
        raw = json.loads(line)
        if not isinstance(raw, dict) or not isinstance(raw.get("same"), bool):
            raise ValueError("`same` is neither true nor false")
        a, b = (_side(raw.get(key), key, path.parent) for key in ("a", "b"))
    except ValueError as error:
        raise UsageError(f"{path}:{number}: {error}", f"write it as {FORM}") from None
    if isinstance(a, str) and not isinstance(b, str):
        a, b = b, a
    if not isinstance(b, str):
        raise UsageError(
            f"{path}:{number}: neither side is a material of the index",
            "let a job store one of the two, and name its id",
        )
    if a == b:
        raise UsageError(f"{path}:{number}: {b} is paired with itself", "name two materials")
    return LabelledPair(a, b, raw["same"], number)


def _side(value: Any, key: str, folder: Path) -> str | Given:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and len(value) == 1:
        (name, given), *_ = value.items()
        if name == "text" and isinstance(given, str):
            return Text(given)
        if name == "file" and isinstance(given, str):
            return File(str(folder / given))
    raise ValueError(f'`{key}` is no material id, {{"text": "…"}} or {{"file": "…"}}')


def score_pairs(where: Addresses, pairs: Sequence[LabelledPair], policy: str) -> list[JudgedPair]:
    """The score of each pair under the rankers of now; 0 where a given text or file does not find its material.

    Raises:
        UsageError: an unknown material, or two of different kinds; with the pair's line.
    """
    with ContentClient(where.index) as client:
        return [_judged(where, client, pair, policy) for pair in pairs]


def _judged(where: Addresses, client: ContentClient, pair: LabelledPair, policy: str) -> JudgedPair:
    if isinstance(pair.a, str):
        told = client.explain(pair.a, pair.b, policy)
        for side in (told.one, told.other):
            if side.state in ("unknown", "deleted"):
                raise UsageError(
                    f"line {pair.line}: the index holds no material {side.material_id}",
                    "run the job that stores it, or take the line out",
                )
        if told.judged is None or told.one.kind is None:
            raise UsageError(
                f"line {pair.line}: {pair.a} and {pair.b} cannot be compared under the policy {policy}",
                "pair materials of one kind that a job of that policy stored",
            )
        return JudgedPair(pair, told.one.kind, told.judged.score)
    if isinstance(pair.a, Text):
        return JudgedPair(pair, "post", _score_of(pair.b, lookups.search_text(where, pair.a.text, policy)))
    path = Path(pair.a.file)
    found = lookups.search_file(where, path, policy)
    return JudgedPair(pair, media_kind(path.name), _score_of(pair.b, found))


def _score_of(material_id: str, found: Sequence[Candidate]) -> float:
    return max((one.score for one in found if one.material_id == material_id), default=0.0)
