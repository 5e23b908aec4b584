"""The slow reader of bad input lines: it finds what to tell their producer. Called only where the fast path gave up."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from materials.errors import Rejected

# A string that ends, a string that the line's end cuts off, or a structural sign.
_TOKEN: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"|"[^"\\]*(?:\\.[^"\\]*)*\\?$|[{}\[\]:,]', re.DOTALL)
_BYTE_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)|[{}\[\]]', re.DOTALL)
_ESCAPED_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class _Repeated(Exception):
    """Carries the first key that an object holds twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def is_nested_beyond(raw: bytes, limit: int) -> bool:
    """Whether arrays and objects are nested deeper than that, in a line that need not be valid JSON.

    Brackets in strings are text. It ends at the first one that is too deep: a megabyte of brackets costs nothing.
    """
    depth = 0
    for match in _BYTE_TOKEN.finditer(raw):
        sign = match.group()
        if sign in b"{[":
            depth += 1
            if depth > limit:
                return True
        elif sign in b"}]":
            depth -= 1
    return False


def repeated_key(raw: bytes) -> str | None:
    """The first key that stands twice in one object of a valid JSON line, shortened to 40 characters; None without."""

    def distinct(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Repeated(key)
            seen.add(key)

    try:
        json.loads(raw.decode(), object_pairs_hook=distinct, parse_int=_nothing, parse_float=_nothing)
    except _Repeated as found:
        return found.key[:40]
    return None


def explain(raw: bytes, complaint: str) -> Rejected:
    """Why a line that the decoder refused is not a JSON value.

    Args:
        raw: the line, within the limits of length and depth.
        complaint: the decoder's own words, for what the standard library would have accepted.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Rejected(
            "invalid_utf8",
            f"byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8; records are UTF-8 JSON lines.",
        )
    if not text.strip():
        return Rejected("broken_json", "the line is empty; each line holds one JSON object.")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_nothing, parse_float=_nothing)
    except json.JSONDecodeError as error:
        cut = (
            " (was the line cut off?)"
            if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
            else ""
        )
        return Rejected("broken_json", f"not valid JSON at column {error.pos + 1}: {error.msg}{cut}.")
    except _Constant as constant:
        return Rejected("broken_json", f"not valid JSON: {constant} is not a JSON number.")
    except RecursionError:
        return Rejected("too_deep", "the JSON is nested too deep.")
    if _ESCAPED_SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        return Rejected(
            "broken_json", "a string holds half a surrogate pair (\\ud800 to \\udfff), which is no character."
        )
    return Rejected("broken_json", f"not usable JSON: {complaint}.")


def top_level_ids(raw: bytes) -> set[str]:
    """Values of the keys `material_id` of the line's outer object, read as far as the line makes sense.

    Bytes that are not UTF-8 are passed over; a value with escapes is not an id, and reads as the empty string.
    """
    ids: set[str] = set()
    depth = 0
    before: tuple[str, str | None, str] = ("", None, "")  # sign, string, sign: what stood before this token
    for match in _TOKEN.finditer(raw.decode(errors="replace")):
        sign, string = match.group()[0], match.group(1)
        if sign in "{[":
            depth += 1
        elif sign in "}]":
            depth -= 1
        if depth == 1 and sign == '"' and before[1] == "material_id" and before[2] == ":" and before[0] in ("{", ","):
            ids.add(string if string is not None and "\\" not in string else "")
        before = _shift(before, sign, string)
    return ids


def _shift(before: tuple[str, str | None, str], sign: str, string: str | None) -> tuple[str, str | None, str]:
    """The last three tokens, as far as they can be `{ "key" :` or `, "key" :`."""
    if sign == '"':
        return (before[2], string, "")
    if sign == ":":
        return (before[0], before[1], ":")
    return ("", None, sign)


class _Constant(Exception):
    """NaN or an infinity, which Python's reader takes and JSON does not have."""


def _refuse_constant(name: str) -> None:
    raise _Constant(name)


def _nothing(_: str) -> int:
    """Numbers are not looked at here: some are larger than Python is willing to convert."""
    return 0
