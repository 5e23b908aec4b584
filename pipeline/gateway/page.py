"""`/`: a page for people, that looks up a material or a content ID and shows its group. Works without scripts."""

from __future__ import annotations

import re
from html import escape
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from materials.errors import SosieError
from pipeline.gateway.backend import Backend
from pipeline.gateway.schemas import CONTENT_ID_PATTERN, ID_PATTERN, POLICY_PATTERN, Evidence, Members

_PAGE = 50
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c2733}"
    "input,button{font:inherit;padding:.4rem .6rem;border:1px solid #9aa7b3;border-radius:.3rem}"
    "button{background:#0b57d0;color:#fff;border-color:#0b57d0}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #dde3e8}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "code{font-size:.95em}.note{color:#5a6875}.bad{color:#a32018}a{color:#0b57d0}"
    "@media(prefers-color-scheme:dark){body{background:#15191d;color:#dfe6ec}a{color:#8ab4f8}"
    "td,th{border-color:#333c44}input{background:#20262c;color:inherit}}"
)


def page_routes(backend: Backend) -> APIRouter:
    """The page over a backend."""
    router = APIRouter(include_in_schema=False)

    @router.get("/", response_class=HTMLResponse)
    async def page(
        q: Annotated[str, Query(max_length=300)] = "",
        policy: Annotated[str, Query(max_length=100)] = "feed",
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    ) -> HTMLResponse:
        asked = q.strip()
        headers = {"Cache-Control": "no-store" if asked else "public, max-age=300"}
        try:
            inner = await _answer(backend, asked, policy.strip() or "feed", after) if asked else _HINT
        except SosieError as error:
            inner = f'<p class="bad">{escape(str(error))}</p>'
        return HTMLResponse(_document(asked, policy, inner), headers=headers)

    return router


async def _answer(backend: Backend, asked: str, policy: str, after: int) -> str:
    if not re.fullmatch(POLICY_PATTERN, policy):
        return f'<p class="bad">{escape(policy)} is no name of a policy.</p>'
    if re.fullmatch(CONTENT_ID_PATTERN, asked):
        members = await backend.members(asked, after, _PAGE)
        if members is not None:
            return _group(members, policy, "")
    if not re.fullmatch(ID_PATTERN, asked):
        return f'<p class="bad">{escape(asked)} is no material id and no content ID.</p>'
    evidence = await backend.evidence(asked, policy)
    if evidence is None:
        [found] = await backend.materials([asked], policy)
        if found.material is not None:
            why = escape(found.material.reason or "no reason is known")
            return f"<p><code>{escape(asked)}</code> was {found.material.outcome}: {why}</p>"
        return f"<p>No material <code>{escape(asked)}</code> was decided under the policy {escape(policy)}.</p>"
    parts = [_decision(evidence)]
    if evidence.material.content_id is not None:
        members = await backend.members(evidence.material.content_id, after, _PAGE)
        if members is not None:
            parts.append(_group(members, policy, asked))
    parts.append(_compared(evidence, policy))
    return "".join(parts)


def _decision(evidence: Evidence) -> str:
    material = evidence.material
    said = f"<code>{escape(material.material_id)}</code> ({material.kind}, revision {material.revision}) is "
    said += f"<b>{material.outcome}</b>"
    if material.matched is not None:
        other = f"<code>{escape(material.matched.material_id)}</code>"
        said += f": it matched {other} with a score of {material.matched.score:.3f} ({escape(material.matched.ranker)})"
    if material.content_id:
        said += f". Its content ID is <code>{escape(material.content_id)}</code>"
    if material.decided_content_id and material.content_id and material.decided_content_id != material.content_id:
        said += (
            f"; it was decided as <code>{escape(material.decided_content_id)}</code>, which was merged or split since"
        )
    return f"<p>{said}.</p>"


def _group(members: Members, policy: str, asked: str) -> str:
    moved = (
        "" if members.canonical == members.content_id else f" (redirected to <code>{escape(members.canonical)}</code>)"
    )
    rows = "".join(f"<li>{_link(one, policy)}{' &larr;' if one == asked else ''}</li>" for one in members.material_ids)
    more = ""
    if members.next is not None:
        query = urlencode({"q": members.content_id, "policy": policy, "after": members.next})
        more = f'<p><a href="/?{escape(query)}">next {_PAGE}</a></p>'
    count = f"{members.total} material" + ("" if members.total == 1 else "s")
    return f"<h2>{count} with <code>{escape(members.content_id)}</code>{moved}</h2><ul>{rows}</ul>{more}"


def _compared(evidence: Evidence, policy: str) -> str:
    if not evidence.candidates:
        return '<p class="note">It was compared with nothing: nothing near was stored then.</p>'
    rows = "".join(
        f"<tr><td>{_link(one.material_id, policy)}</td><td class=n>{one.score:.3f}</td><td>{one.relation}</td>"
        f"<td class=n>{one.recall_score:.3f}</td><td>{escape(one.ranker)}</td></tr>"
        for one in evidence.candidates
    )
    head = "<tr><th>material</th><th>score</th><th>relation</th><th>recall</th><th>ranker</th></tr>"
    return f"<h2>Compared with</h2><table>{head}{rows}</table>"


def _link(material_id: str, policy: str) -> str:
    query = urlencode({"q": material_id, "policy": policy})
    return f'<a href="/?{escape(query)}"><code>{escape(material_id)}</code></a>'


_HINT = (
    '<p class="note">Type the id of a material, or a content ID. '
    'Programs: <a href="/openapi.json">/openapi.json</a>.</p>'
)


def _document(asked: str, policy: str, inner: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>sosie: content IDs</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><h1>Content IDs</h1>"
        '<form action="/" method="get">'
        "<label>Material or content ID "
        f'<input name="q" size="32" autofocus value="{escape(asked, quote=True)}"></label> '
        f'<label>policy <input name="policy" size="10" value="{escape(policy, quote=True)}"></label> '
        f"<button>Look up</button></form>{inner}</html>"
    )
