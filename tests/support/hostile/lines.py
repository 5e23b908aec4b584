"""Lines that no record stands in, and texts that are none."""

from __future__ import annotations

import json

from hostile.case import Case, case

_MEGABYTE = 1 << 20


def cases() -> list[Case]:
    """Every line is refused before anything is fetched or opened."""
    return [*_broken(), *_fields(), *_texts()]


def _broken() -> list[Case]:
    def head(name: str) -> bytes:
        return f'{{"material_id":"line-{name}","kind":"post","text":"x"'.encode()

    def with_tail(name: str, tail: bytes) -> tuple[str, bytes]:
        return name, head(name) + tail

    raw = [
        with_tail("open", b""),
        with_tail("open-string", b',"biz":"abc'),
        with_tail("two-objects", b"}{}"),
        with_tail("trailing-comma", b",}"),
        with_tail("single-quotes", b",'a':1}"),
        with_tail("comment", b"/* */}"),
        with_tail("nan", b',"created_at":NaN}'),
        with_tail("infinity", b',"created_at":-Infinity}'),
        with_tail("hex-number", b',"revision":0x10}'),
        with_tail("leading-zero", b',"revision":01}'),
        with_tail("huge-exponent", b',"created_at":1e400}'),
        with_tail("huge-integer", b',"revision":' + b"9" * 100_000 + b"}"),
        with_tail("huge-fraction", b',"created_at":0.' + b"9" * 100_000 + b"e999}"),
        with_tail("minus-zero-flood", b',"revision":-' + b"0" * 100_000 + b"}"),
        with_tail("invalid-utf8", b',"biz":"\xff\xfe"}'),
        with_tail("overlong-utf8", b',"biz":"\xc0\xaf"}'),
        with_tail("surrogate-utf8", b',"biz":"\xed\xa0\x80"}'),
        with_tail("cut-utf8", b',"biz":"\xe4\xb8"}'),
        with_tail("beyond-unicode", b',"biz":"\xf5\x80\x80\x80"}'),
        with_tail("lone-high-surrogate", b',"biz":"\\ud800"}'),
        with_tail("lone-low-surrogate", b',"biz":"\\udfff x"}'),
        with_tail("swapped-surrogates", b',"biz":"\\udc00\\ud800"}'),
        with_tail("bad-escape", b',"biz":"\\x41"}'),
        with_tail("raw-control", b',"biz":"a\x01b"}'),
        with_tail("raw-nul", b',"biz":"a\x00b"}'),
        with_tail("duplicate-text", b',"text":"y"}'),
        with_tail("duplicate-escaped", b',"\\u0074ext":"y"}'),
        with_tail("duplicate-nested", b',"x":{"a":1,"a":2}}'),
        with_tail("deep-lists", b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        with_tail("deep-objects", b',"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}"),
        with_tail("megabyte-of-brackets", b',"x":' + b"[" * (_MEGABYTE - 200)),
        with_tail("megabyte-of-quotes", b',"x":' + b'"' * (_MEGABYTE - 201)),
        with_tail("megabyte-of-escapes", b',"x":"' + b"\\\\" * (_MEGABYTE // 2 - 200)),
        with_tail("too-long", b',"x":"' + b"a" * _MEGABYTE + b'"}'),
        with_tail("eight-megabytes", b',"x":"' + b"a" * (8 * _MEGABYTE) + b'"}'),
        with_tail("many-keys-one-twice", b"," + b",".join(b'"%d":0' % (i % 50_000) for i in range(50_001)) + b"}"),
        ("utf16", '{"material_id":"line-utf16","kind":"post","text":"x"}'.encode("utf-16-le").replace(b"\n", b"")),
        ("array", b'["material_id","line-array"]'),
        ("string", b'"material_id"'),
        ("null", b"null"),
        ("number", b"1" * 5000),
        ("binary", bytes(i for i in range(256) if i not in (10, 13)) * 4),
        ("gzip-magic", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
        ("xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
        ("yaml", b"!!python/object/apply:os.system ['true']"),
        ("pickle", b"\x80\x04cos\nsystem".replace(b"\n", b" ")),
    ]
    return [Case(f"line-{name}", "line", line) for name, line in raw]


def _fields() -> list[Case]:
    sound = {"material_id": "x", "kind": "post", "text": "x"}

    def changed(name: str, **fields: object) -> Case:
        return Case(f"field-{name}", "field", json.dumps(sound | {"material_id": f"field-{name}"} | fields).encode())

    return [
        changed("id-list", material_id=["x"]),
        changed("id-null", material_id=None),
        changed("id-slash", material_id="field/../../etc"),
        changed("id-nul", material_id="field\0id"),
        changed("id-newline", material_id="field\nid"),
        changed("id-bidi", material_id="field\u202egpj"),
        changed("id-zero-width", material_id="field\u200bid"),
        changed("id-homoglyph", material_id="fi\u0435ld"),
        changed("id-long", material_id="a" * 100_000),
        changed("id-redis", material_id="x\r\nFLUSHALL\r\n"),
        changed("kind-unknown", kind="sosie:post"),
        changed("kind-list", kind=["post"]),
        changed("kind-nul", kind="post\0"),
        changed("op-drop", op="drop table"),
        changed("version-future", version=2**31),
        changed("version-true", version=True),
        changed("revision-negative", revision=-1),
        changed("revision-beyond", revision=2**63),
        changed("revision-float", revision=1.5),
        changed("revision-string", revision="1"),
        changed("created-year-ten-thousand", created_at=253_402_300_800),
        changed("created-milliseconds", created_at=1_700_000_000_000),
        changed("created-object", created_at={"$date": 0}),
        changed("created-words", created_at="0000-00-00T99:99:99Z"),
        changed("created-arabic-digits", created_at="٢٠٢٦-٠١-٣١T٠٨:٠٠:٠٠Z"),
        changed("author-long", author_id="a" * 1000),
        changed("biz-long", biz="b" * 500_000),
        changed("biz-nul", biz="feed\0"),
        changed("biz-object", biz={"feed": 1}),
        changed("media-string", media="a.jpg"),
        changed("media-nested", media=[["a.jpg"]]),
        changed("media-null", media=[None]),
        changed("media-empty-name", media=[" "]),
        changed("media-nul", media=["a\0.jpg"]),
        changed("media-line-break", media=["a\r\nHost: x"]),
        changed("media-long", media=["a" * 5000]),
        changed("media-thousand", media=["a.jpg"] * 1000),
        changed("image-without", kind="image"),
        changed("image-with-two", kind="image", media=["a", "b"]),
        changed("video-without", kind="video", media=[]),
    ]


def _texts() -> list[Case]:
    return [
        case("text", "long", "post", text="x" * 20_001),
        case("text", "long-emoji", "post", text="\U0001f600" * 20_001),
        case("text", "nul", "post", text="a\0b"),
        case("text", "only-zero-width", "post", text="\u200b\u200d\ufeff" * 100),
        case("text", "only-bidi", "post", text="\u202e\u2066\u2069"),
        case("text", "only-tags", "post", text="".join(chr(0xE0041 + i) for i in range(26))),
        case("text", "only-fillers", "post", text="\u3164\u115f\uffa0 "),
        case("text", "only-spaces", "post", text=" \u3000\u2003\n"),
        case("text", "list", "post", text=["x"]),
        case("text", "number", "post", text=1e308),
    ]
