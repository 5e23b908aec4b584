"""What would be right where a job spec is wrong, in words: no validator's text, no regular expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic.fields import FieldInfo

JOB_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
COLLECTOR: Final = r"^(https?://\S+)?$"
FUNCTION: Final = r"^[\w.]+:\w+$"
_PATTERNS: Final = {
    JOB_NAME: "letters, digits, `.`, `_` and `-`, a letter or digit first, at most 64 of them: my-job",
    COLLECTOR: "a collector's address, http://HOST:4318/v1/traces, or nothing",
    FUNCTION: "a dotted path and a name, my_company.topics:choose",
}
_TYPES: Final = {
    "string_type": "a text; put it into quotation marks if it is one",
    "bool": "true or false",
    "tuple_type": "a list, as in [a, b]",
    "list_type": "a list, as in [a, b]",
    "path_type": "a path",
    "int": "a whole number",
    "float": "a number",
}
_BOUNDS: Final = {
    "gt": "more than {}",
    "ge": "{} or more",
    "lt": "less than {}",
    "le": "{} or less",
    "min_length": "at least {}",
    "max_length": "at most {}",
    "expected": "{}",
}
_UNITS: Final = {
    "_bytes": "in bytes",
    "_s": "in seconds",
    "_ms": "in milliseconds",
    "_mb": "in MiB",
    "_days": "in days",
}
_LONGEST: Final = 60


def sentence(where: str, error: Mapping[str, Any], field: FieldInfo | None, keys: Sequence[str]) -> str:
    """`limits.max_bytes` is '64MB'; write a whole number, in bytes (default: 67108864).

    Args:
        where: the field, dotted.
        error: what pydantic found.
        field: of the model, where it is one of a model's.
        keys: what may stand below it, where a mapping belongs there.
    """
    given = " ".join(repr(error.get("input")).split())
    given = given if len(given) <= _LONGEST else given[: _LONGEST - 1] + "…"
    if error["type"] == "value_error":  # a sentence of ours
        return f"`{where}`: {' '.join(str(error['msg']).removeprefix('Value error, ').split())}"
    return f"`{where}` is {given}; write {_right(error, where, keys)}{_default(field)}"


def _right(error: Mapping[str, Any], where: str, keys: Sequence[str]) -> str:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        name = where.rpartition(".")[2]
        shape = f"{'-' if name.isdecimal() else f'{name}:'} {{{keys[0]}: …}}"
        return f"keys and values below it, `{shape}`; known keys: {', '.join(keys)}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"what matches {context['pattern']}")
    unit = next((f", {told}" for end, told in _UNITS.items() if where.endswith(end)), "")
    bounds = [words.format(context[name]) for name, words in _BOUNDS.items() if name in context]
    if bounds:
        told = " and ".join(bounds)
        return f"a list of {told}" if kind in ("too_short", "too_long") else told + unit
    base = kind if kind in _TYPES else kind.partition("_")[0]
    return (_TYPES[base] if base in _TYPES else f"another value: {error['msg']}") + unit


def _default(field: FieldInfo | None) -> str:
    plain = field is not None and isinstance(field.default, str | int | float) and field.default != ""
    if field is None or not plain:
        return ""
    shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f" (default: {shown})"
