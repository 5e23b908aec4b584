"""An explanation as one HTML file: sentences, pictures, texts with their differences marked, the figures. It loads
nothing from elsewhere, and whatever a material says stays text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

from pipeline.explain.pictures import Rgb, png
from pipeline.explain.text_difference import difference
from vector_index.content.explanation import Explanation, Side

_STYLE: Final = """
:root{color-scheme:light dark}
body{margin:0 auto;max-width:1100px;padding:20px 16px 60px;font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.35rem;margin:.2em 0 .6em}h2{font-size:1.05rem;margin:1.8em 0 .5em}
img{max-width:100%;border-radius:8px;display:block;margin:8px 0}
.soft{opacity:.7}blockquote{margin:0;padding:10px 14px;border:1px solid #8884;border-radius:8px;white-space:pre-wrap}
del{background:#f3b7ae;color:#5a0f05;text-decoration:none}ins{background:#b4e3bd;color:#093d15;text-decoration:none}
table{border-collapse:collapse}td,th{text-align:left;padding:4px 14px 4px 0;border-top:1px solid #8883;
vertical-align:top}pre{white-space:pre-wrap;font-size:.8rem}
"""
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(
    explanation: Explanation,
    told: Sequence[str],
    pictures: Sequence[Rgb],
    missing: Sequence[str],
    measured: Sequence[str] = (),
) -> str:
    """The whole file.

    Args:
        told: the sentences, the verdict first.
        pictures: of the pair, or of the parts of posts.
        missing: a sentence for each medium that could not be shown.
        measured: what the sentences rest on.
    """
    one, other = explanation.one, explanation.other
    body = [f"<h1>{escape(told[0])}</h1>", *(f"<p>{escape(line)}</p>" for line in told[1:])]
    body += [f'<img alt="the two side by side" src="{_data(picture)}">' for picture in pictures]
    body += [f'<p class="soft">{escape(line)}</p>' for line in missing]
    body += _texts(one, other, explanation)
    body += ["<h2>The two</h2>", _table(one, other)]
    if measured:
        body += ["<h2>What was measured</h2>", *(f'<p class="soft">{escape(line)}</p>' for line in measured)]
    figures = msgspec.json.format(msgspec.json.encode(explanation), indent=1).decode()
    body.append(f"<details><summary>All figures</summary><pre>{escape(figures)}</pre></details>")
    title = escape(f"{one.material_id} and {other.material_id}")
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _texts(one: Side, other: Side, explanation: Explanation) -> list[str]:
    if not one.text and not other.text:
        return []
    if not one.text or not other.text:
        side = one if one.text else other
        return [f"<h2>The text of {escape(side.material_id)}</h2><blockquote>{escape(side.text)}</blockquote>"]
    judged = explanation.judged
    first, second = (one, other) if judged is None or judged.query == other.material_id else (other, one)
    marks = {"equal": "{}", "only_first": "<del>{}</del>", "only_second": "<ins>{}</ins>"}
    woven = "".join(marks[run.kind].format(escape(run.text)) for run in difference(first.text, second.text).runs)
    names = f"<del>only in {escape(first.material_id)}</del> <ins>only in {escape(second.material_id)}</ins>"
    return [f"<h2>Their texts: {names}</h2><blockquote>{woven}</blockquote>"]


def _table(one: Side, other: Side) -> str:
    rows = [
        ("material", one.material_id, other.material_id),
        ("kind", one.kind or "", other.kind or ""),
        ("revision", one.revision, other.revision),
        ("content ID", one.content_id or one.decided_as, other.content_id or other.decided_as),
        ("its place there", one.role, other.role),
        ("materials with that ID", one.size, other.size),
        ("media", len(one.media), len(other.media)),
    ]
    cells = "".join(
        f"<tr><th>{name}</th><td>{escape(str(left))}</td><td>{escape(str(right))}</td></tr>"
        for name, left, right in rows
    )
    return f"<table>{cells}</table>"


def _data(picture: Rgb) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"
