"""The report's frame: head, style and the pieces of HTML that escape whatever they are given."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

STYLE: Final = """
:root{--paper:#f6f6f4;--card:#fff;--ink:#1c1d20;--soft:#63666d;--line:#dedfe3;--good:#14713d;--warn:#a34a00;
--accent:#2b50c8;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--paper:#131417;--card:#1d1f23;--ink:#ebecef;--soft:#a0a4ad;--line:#33363d;
--good:#62c98d;--warn:#f0a45d;--accent:#93abff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:1240px;margin:0 auto;padding:20px 16px 64px}
h1{font-size:1.5rem;margin:.2em 0 .1em}h2{font-size:1.15rem;margin:2em 0 .7em}
p{margin:.3em 0 1em;max-width:70ch}.soft{color:var(--soft)}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;margin:18px 0}
.number{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px}
.number b{display:block;font-size:1.45rem;line-height:1.2;font-variant-numeric:tabular-nums}
.number span{color:var(--soft);font-size:.82rem}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:12px 0}a{color:var(--accent)}
.groups{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,380px),1fr));gap:14px;align-items:start}
.group{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px}
.group>header{display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline;margin-bottom:10px}
code{font:.8rem ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
.verdict{margin-left:auto;font-size:.8rem}.good{color:var(--good)}.warn{color:var(--warn)}
.members{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,100px),1fr));gap:12px 10px}
.members.wide{grid-template-columns:1fr}
figure{margin:0;min-width:0}
.pictures{display:flex;gap:4px}
.pictures img{min-width:0;flex:1 1 0;width:100%;height:132px;object-fit:contain;background:var(--paper);
border-radius:7px;display:block}
.frames img{height:auto;max-height:110px}
blockquote{margin:0 0 5px;padding:7px 10px;background:var(--paper);border-radius:7px;overflow-wrap:anywhere;
white-space:pre-wrap}
figcaption{font-size:.8rem;margin-top:4px;overflow-wrap:anywhere}
.bar{height:4px;border-radius:2px;background:var(--line);margin:4px 0 2px}
.bar i{display:block;height:100%;border-radius:2px;background:var(--accent)}
details{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:10px 14px;margin:12px 0}
summary{cursor:pointer;font-weight:600}
.strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:8px;margin-top:10px}
.strip img{width:100%;height:70px;object-fit:contain;background:var(--paper);border-radius:6px;display:block}
.strip span{display:block;font-size:.7rem;color:var(--soft);overflow-wrap:anywhere}
ul.plain{list-style:none;padding:0;margin:10px 0 0}ul.plain li{padding:5px 0;border-top:1px solid var(--line);
overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:7px 12px 7px 0;
border-top:1px solid var(--line);overflow-wrap:break-word}th{font-size:.82rem;color:var(--soft);border:0}
.scroll{overflow-x:auto}
@media (max-width:600px){.rejected thead{display:none}.rejected td{display:block;border:0;padding:1px 0}
.rejected tr{display:block;border-top:1px solid var(--line);padding:8px 0}}
"""
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def text(value: object) -> str:
    """Anything, as text that stays text."""
    return escape(str(value), quote=True)


def picture(uri: str, alternative: str) -> str:
    """An image from one of our own data URIs; anything else is left out."""
    if not uri.startswith("data:image/jpeg;base64,"):
        return ""
    return f'<img src="{text(uri)}" alt="{text(alternative)}" loading="lazy">'


def number(value: object, name: str) -> str:
    """One tile of the head."""
    return f'<div class="number"><b>{text(value)}</b><span>{text(name)}</span></div>'


def table(head: Iterable[str], rows: Iterable[Iterable[object]], style: str) -> str:
    """A table of plain texts."""
    titles = "".join(f"<th>{text(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    thead, tbody = f"<thead><tr>{titles}</tr></thead>", f"<tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="{text(style)}">{thead}{tbody}</table></div>'


def page(title: str, body: str) -> str:
    """A whole document that loads nothing and runs nothing."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )
