"""What a request got wrong, in words: each mistake names its field and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from pipeline.gateway.problems import FieldProblem, ProblemError
from pipeline.gateway.schemas import CONTENT_ID_PATTERN, ID_PATTERN, POLICY_PATTERN

JSON: Final = "application/json"
_SHOWN_ERRORS: Final = 20
_SCHEMA: Final = "see the schema in /openapi.json"
_PATTERNS: Final = {
    ID_PATTERN: (
        "it is not written like a material id",
        "1 to 128 of A-Z, a-z, 0-9 and . _ : -, as in P1; P1/0 is a post's first medium",
    ),
    CONTENT_ID_PATTERN: ("it is not written like a content ID", "one like feed-abcdefghijklmnop"),
    POLICY_PATTERN: ("it is not written like a policy's name", "lower-case letters, digits and -, as in feed"),
}
_TYPES: Final = {
    "missing": "send it",
    "extra_forbidden": "leave it out",
    "list_type": 'send a list, as in ["P1", "P2"]',
    "string_type": "send a text in quotation marks",
    "int_type": "send a whole number",
    "int_parsing": "send a whole number",
    "int_from_float": "send a whole number",
    "int_parsing_size": "send a smaller number",
    "model_attributes_type": 'send a JSON object, as in {"material_ids": ["P1"]}',
    "model_type": "send a JSON object",
    "dict_type": "send a JSON object",
}
_LIMITS: Final = {
    "ge": "send {} or more",
    "gt": "send more than {}",
    "le": "send {} or less",
    "lt": "send less than {}",
    "max_length": "send at most {}",
    "min_length": "send at least {}",
    "expected": "send {}",
}
_OF_PATHS: Final = {"content_id": "unknown-content", "material_id": "unknown-material"}


def of_validation(error: RequestValidationError) -> ProblemError:
    """400 for a body that is no JSON, 404 for a path that can name nothing, else 422."""
    found = error.errors()
    broken = next((each for each in found if each["type"] == "json_invalid"), None)
    if broken is not None:
        return _no_json(broken, error.body)
    fields = [_field(each) for each in found[:_SHOWN_ERRORS]]
    first = fields[0]
    named = next((str(each["loc"][1]) for each in found if each["loc"][0] == "path"), "")
    if named in _OF_PATHS:
        about = next(field for field in fields if field.field == f"path.{named}")
        detail = f"there is nothing under this path: {about.problem}"
        return ProblemError(404, _OF_PATHS[named], detail, about.remedy, fields)
    return ProblemError(422, "invalid-request", f"{first.field}: {first.problem}", first.remedy, fields)


def _no_json(error: Mapping[str, Any], body: Any) -> ProblemError:
    """Where it ends to be JSON, as an editor counts."""
    offset = int(error["loc"][1])
    before = body[:offset] if isinstance(body, str) else ""
    line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
    told = str(error.get("ctx", {}).get("error", "")).lower()
    problem = f"it is no JSON at line {line}, column {column} (character {offset}): {told}"
    field = FieldProblem(field="body", problem=problem[:300], remedy="correct it there; a JSON checker finds the place")
    return ProblemError(400, "malformed-body", f"body: {problem}"[:400], field.remedy, [field])


def _field(error: Mapping[str, Any]) -> FieldProblem:
    """What pydantic found, without the value itself: it may be long, or a secret."""
    place = ".".join(str(part) for part in error["loc"])
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        problem, remedy = _PATTERNS[context["pattern"]]
    else:
        problem = str(error["msg"])
        limits = [words.format(context[name]) for name, words in _LIMITS.items() if name in context]
        remedy = _TYPES.get(error["type"]) or ", ".join(limits) or _SCHEMA
    return FieldProblem(field=place[:200], problem=problem[:300], remedy=remedy[:300])


async def json_only(request: Request) -> None:
    """A dependency of routes that read JSON.

    Raises:
        ProblemError: 415: there is a body, and nothing says that it is JSON.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given == JSON or (given.startswith("application/") and given.endswith("+json")) or not await request.body():
        return
    told = f"the body's content type is {given[:100]!r}" if given else "the body has no content type"
    raise ProblemError(
        415, "not-json", told, f"send JSON, with the header `Content-Type: {JSON}`", headers={"Accept": JSON}
    )
