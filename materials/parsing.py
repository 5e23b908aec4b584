"""Input lines to `Material`. Input comes from strangers: a line gives a `Material`, or a `Rejected` that says why not.

The common line costs one msgspec decode and a few type checks. Duplicate keys, which msgspec drops without a word, are
seen by counting colons: a dropped pair leaves one of them unaccounted for. Only then, or when something is already
wrong, does the slow reader of `materials.broken_lines` look at the line again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, Literal, cast

import msgspec

from materials.broken_lines import explain, is_nested_beyond, repeated_key, top_level_ids
from materials.errors import Rejected
from materials.records import KINDS, Kind, Material
from materials.text import is_visible

MAX_LINE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_TEXT_CHARACTERS: Final = 20_000
MAX_NAME_CHARACTERS: Final = 256
"""Of `author_id` and of `biz`: both are kept in the index."""
MAX_POST_MEDIA: Final = 18
MAX_URI_CHARACTERS: Final = 4_096
MAX_REVISION: Final = 2**63 - 1
RECORD_VERSIONS: Final = (1,)
FIELDS: Final = frozenset(
    {"material_id", "kind", "text", "media", "created_at", "author_id", "biz", "op", "revision", "version"}
)

_OPS: Final = ("upsert", "delete")
_BOM: Final = b"\xef\xbb\xbf"
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:)(\d{2})(\.\d{1,20})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_LATEST: Final = 253_402_300_800.0  # the year 10000: beyond it, seconds are milliseconds in disguise
_EARLIEST: Final = -62_135_596_800.0  # the year 1
_TYPES: Final = ((bool, "a boolean"), (int, "an integer"), (float, "a number"), (str, "a string"), (list, "a list"))

_decoder: Final = msgspec.json.Decoder()


def parse_line(raw: bytes, where: str) -> Material:
    """One JSON line -> its material.

    Args:
        raw: the line, with or without its line break; a byte order mark before it is ignored.
        where: `file:line` or `topic-partition:offset`, for the sentence.

    Raises:
        Rejected: always and only with one of these codes: `line_too_long`, `invalid_utf8`, `broken_json`, `too_deep`,
            `not_an_object`, `duplicate_key`, `unknown_version`, `missing_field`, `wrong_type`, `bad_material_id`,
            `unknown_kind`, `unknown_op`, `bad_revision`, `bad_created_at`, `text_too_long`, `nul_character`,
            `name_too_long`, `bad_media`, `too_many_media`, `wrong_media_count`, `no_content`.
    """
    try:
        return _material(_fields(raw))
    except Rejected as error:
        raise Rejected(error.code, f"{where}: {error.sentence}") from None


def readable_id(raw: bytes) -> str | None:
    """The line's `material_id` where it can be read and is valid, however bad the rest; None where it is not.

    A line that gives two different ids has none.
    """
    found = top_level_ids(raw.removeprefix(_BOM)[:MAX_LINE_BYTES])
    if len(found) != 1:
        return None
    (material_id,) = found
    return material_id if _ID.fullmatch(material_id) else None


def _fields(raw: bytes) -> dict[str, Any]:
    """The line as an object with distinct keys, no deeper than allowed."""
    raw = raw.removeprefix(_BOM)
    if len(raw) > MAX_LINE_BYTES:
        raise Rejected("line_too_long", f"the line has {len(raw):,} bytes; at most {MAX_LINE_BYTES:,} are allowed.")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and is_nested_beyond(raw, MAX_DEPTH):
        raise Rejected("too_deep", f"the JSON is nested too deep; at most {MAX_DEPTH} levels are allowed.")
    try:
        fields = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(raw, str(error)) from None
    if type(fields) is not dict:
        raise Rejected("not_an_object", f"the line is {_type_name(fields)}; a record is a JSON object: {{…}}.")
    if raw.count(b":") != _colons(fields) or b"\\u003" in raw:
        key = repeated_key(raw)
        if key is not None:
            raise Rejected("duplicate_key", f"the key `{key}` stands twice in one object; give each key once.")
    return fields


def _colons(fields: dict[str, Any]) -> int:
    """Colons that flat fields account for; nested objects are left to the slow reader."""
    n = len(fields)
    for key, value in fields.items():
        if ":" in key:
            n += key.count(":")
        if type(value) is str:
            n += value.count(":")
        elif type(value) is list:
            n += sum([part.count(":") for part in value if type(part) is str])
    return n


def _material(fields: dict[str, Any]) -> Material:
    version = fields.get("version", 1)
    if type(version) is not int or version not in RECORD_VERSIONS:
        known = ", ".join(map(str, RECORD_VERSIONS))
        raise Rejected("unknown_version", f"`version` is {_shown(version)}; this reader knows record version {known}.")
    material_id = _string(fields, "material_id", required=True)
    if _ID.fullmatch(material_id) is None:
        raise Rejected("bad_material_id", _id_sentence(material_id))
    kind = _choice(fields, "kind", KINDS, "unknown_kind", None)
    op = _choice(fields, "op", _OPS, "unknown_op", "upsert")
    text = _string(fields, "text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Rejected(
            "text_too_long", f"`text` has {len(text):,} characters; at most {MAX_TEXT_CHARACTERS:,} are allowed."
        )
    if "\0" in text:
        raise Rejected("nul_character", f"`text` holds a NUL at character {text.index(chr(0)) + 1}; remove it.")
    media = _media(fields)
    if op == "upsert":
        _check_content(kind, text, media)
    return Material(
        material_id=material_id,
        kind=cast(Kind, kind),
        text=text,
        media=media,
        created_at=_created_at(fields.get("created_at")),
        author_id=_name(fields, "author_id"),
        biz=_name(fields, "biz"),
        op=cast(Literal["upsert", "delete"], op),
        revision=_revision(fields.get("revision")),
        extra={} if fields.keys() <= FIELDS else {key: fields[key] for key in fields if key not in FIELDS},
    )


def _string(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """A string field; null stands for an absent optional one."""
    value = fields.get(name)
    if type(value) is str:
        return value
    if value is None and not required:
        return ""
    if name not in fields:
        raise _missing(fields, name)
    raise Rejected("wrong_type", f"`{name}` is {_type_name(value)} ({_shown(value)}); it must be a string.")


def _name(fields: Mapping[str, Any], name: str) -> str:
    value = _string(fields, name)
    if len(value) > MAX_NAME_CHARACTERS:
        raise Rejected(
            "name_too_long", f"`{name}` has {len(value):,} characters; at most {MAX_NAME_CHARACTERS} are allowed."
        )
    if "\0" in value:
        raise Rejected("nul_character", f"`{name}` holds a NUL; remove it.")
    return value


def _missing(fields: Mapping[str, Any], name: str) -> Rejected:
    near = get_close_matches(name, [key for key in list(fields)[:64] if key not in FIELDS], 1, 0.7)
    hint = f"; is `{_clipped(near[0])}` meant to be it?" if near else ""
    return Rejected("missing_field", f"the field `{name}` is missing{hint or '; every record needs it.'}")


def _choice(fields: Mapping[str, Any], name: str, known: tuple[str, ...], code: str, default: str | None) -> str:
    value = fields.get(name)
    if type(value) is str and value in known:
        return value
    if value is None and default is not None:
        return default
    given = _string(fields, name, required=True)
    near = get_close_matches(given[:40].strip().lower(), known, 1, 0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"it must be one of {', '.join(known)}."
    raise Rejected(code, f"`{name}` is {_shown(given)}, which is not known: {hint}")


def _media(fields: Mapping[str, Any]) -> tuple[str, ...]:
    value = fields.get("media")
    if value is None:
        return ()
    if type(value) is not list:
        raise Rejected(
            "wrong_type", f'`media` is {_type_name(value)} ({_shown(value)}); it must be a list of strings: ["a.jpg"].'
        )
    for i, uri in enumerate(value):
        if type(uri) is not str:
            raise Rejected("wrong_type", f"`media[{i}]` is {_type_name(uri)} ({_shown(uri)}); it must be a string.")
        if not uri.strip():
            raise Rejected("bad_media", f"`media[{i}]` is empty; it must be a path or a URI.")
        if len(uri) > MAX_URI_CHARACTERS:
            raise Rejected(
                "bad_media", f"`media[{i}]` has {len(uri):,} characters; at most {MAX_URI_CHARACTERS:,} are allowed."
            )
        if _CONTROL.search(uri):
            raise Rejected("bad_media", f"`media[{i}]` ({_shown(uri)}) holds a control character; percent-encode it.")
    return tuple(value)


def _check_content(kind: str, text: str, media: tuple[str, ...]) -> None:
    if kind != "post":
        if len(media) != 1:
            code = "wrong_media_count" if media else "no_content"
            raise Rejected(code, f"`media` has {len(media)} entries; a record of kind {kind} takes exactly one.")
    elif len(media) > MAX_POST_MEDIA:
        raise Rejected("too_many_media", f"`media` has {len(media)} entries; a post has at most {MAX_POST_MEDIA}.")
    elif not media and not is_visible(text):
        raise Rejected("no_content", "the post has neither text nor media; it needs one of them.")


def _revision(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is not int:
        raise Rejected(
            "wrong_type", f"`revision` is {_type_name(value)} ({_shown(value)}); it must be an integer >= 0."
        )
    if not 0 <= value <= MAX_REVISION:
        raise Rejected("bad_revision", f"`revision` is {_shown(value)}; it must lie in 0..{MAX_REVISION}.")
    return value


def _created_at(value: Any) -> float | None:
    """RFC 3339 or epoch seconds -> epoch seconds. A leap second counts as the second after it, as in POSIX."""
    if value is None:
        return None
    if type(value) is int or type(value) is float:
        seconds = float(value) if abs(value) < 1e18 else math.inf
        if _EARLIEST <= seconds < _LATEST:
            return seconds
        hint = "it looks like milliseconds: divide by 1000" if 1e11 < seconds < 1e15 else "give epoch seconds"
        raise Rejected(
            "bad_created_at", f"`created_at` is {_shown(value)}, which lies outside the years 1 to 9999; {hint}."
        )
    if type(value) is not str:
        raise Rejected(
            "wrong_type", f"`created_at` is {_type_name(value)}; it must be an RFC 3339 string or epoch seconds."
        )
    match = _RFC3339.fullmatch(value)
    if match is not None:
        date, clock, second, fraction, zone = match.groups()
        leap = second == "60"
        zone = "+00:00" if zone in "Zz" else zone
        try:
            whole = datetime.fromisoformat(f"{date}T{clock}{'59' if leap else second}{zone}").timestamp()
        except (ValueError, OverflowError):
            pass  # no such date: the sentence below says so
        else:
            return whole + (1.0 if leap else 0.0) + (float(fraction) if fraction else 0.0)
    raise Rejected(
        "bad_created_at",
        f"`created_at` is {_shown(value)}; it must be RFC 3339 (2026-01-31T08:00:00Z) or epoch seconds.",
    )


def _id_sentence(value: str) -> str:
    if not value:
        return "`material_id` is empty; it needs 1 to 128 characters of [A-Za-z0-9._:-]."
    if len(value) > 128:
        return f"`material_id` has {len(value):,} characters; at most 128 are allowed."
    bad = next(c for c in value if _ID.fullmatch(c) is None)
    return f"`material_id` is {_shown(value)}, which holds {bad!a}; only [A-Za-z0-9._:-] are allowed."


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next((name for known, name in _TYPES if isinstance(value, known)), "an object")


def _clipped(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _shown(value: Any) -> str:
    """A value as JSON, short and without control characters, for a sentence."""
    if isinstance(value, str):
        value = _clipped(value)
    try:
        return _clipped(msgspec.json.encode(value).decode())
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeEncodeError):
        return _clipped(ascii(value))
