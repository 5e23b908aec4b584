"""The demo's report: what shares a content ID, side by side; what stands alone; what was rejected, and why.

One self-contained page without scripts. All that came from input or results is escaped.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from materials.records import KINDS, Material, Outcome
from pipeline.demo.previews import Preview
from pipeline.demo.report_page import number, page, picture, table, text
from pipeline.demo.score import Score

_TITLES: Final = {"image": "Images", "video": "Videos", "post": "Posts"}
_ORDER: Final = {"unique": 0, "duplicate": 1}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page tells of.

    Attributes:
        materials: accepted records by id. results: one outcome for each input line.
        truth: material -> cluster. defects: id of a planted bad input -> what is wrong with it.
        seconds, stack_start_seconds: wall-clock times.
        understood: material -> what plug-ins say of it.
    """

    materials: Mapping[str, Material]
    results: Sequence[Outcome]
    truth: Mapping[str, str]
    defects: Mapping[str, str]
    score: Score
    seconds: float
    stack_start_seconds: float
    understood: Mapping[str, str] = {}


def render(run: Run, preview: Preview) -> str:
    """The page as HTML."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for result in run.results:
        if result.content_id and result.outcome in ("unique", "duplicate"):
            groups[result.content_id].append(result)
    body = [_head(run, groups)]
    for kind in KINDS:
        shared = [(cid, members) for cid, members in groups.items() if len(members) > 1 and members[0].kind == kind]
        if shared:
            shared.sort(key=lambda group: (-len(group[1]), group[1][0].material_id))
            cards = "".join(_group(run, preview, cid, members) for cid, members in shared)
            body.append(f'<h2 id="{kind}">{_TITLES[kind]}: {len(shared)} content IDs with several members</h2>')
            body.append(f'<div class="groups">{cards}</div>')
    body.append(_missed(run))
    body.append(_singletons(run, preview, [members[0] for members in groups.values() if len(members) == 1]))
    body.append(_failures(run))
    return page("sosie: demo report", "\n".join(part for part in body if part))


def _head(run: Run, groups: Mapping[str, Sequence[Outcome]]) -> str:
    pairs, outcomes = run.score.overall, run.score.outcomes
    tiles = [
        number(len(run.results), "materials in, one outcome each"),
        number(len(groups), "content IDs"),
        number(outcomes["duplicate"], "duplicates found"),
        number(outcomes["rejected"], "bad inputs rejected"),
        number(f"{pairs.precision:.3f}", "pair precision"),
        number(f"{pairs.recall:.3f}", "pair recall"),
        number(f"{run.seconds:.1f} s", f"job, after {run.stack_start_seconds:.1f} s to start the stack"),
    ]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in _TITLES.items())
    problems = "".join(f'<li class="warn">{text(problem)}</li>' for problem in run.score.problems)
    return (
        "<h1>Which of these are the same?</h1>"
        '<p class="soft">Every image, video and post of three streams got a content ID, the same for all its '
        "near-duplicates. The percentage is the probability that two share content; the truth is known here, "
        "so that each group says whether it is right.</p>"
        f'<div class="numbers">{"".join(tiles)}</div>'
        f'<nav>{links}<a href="#alone">Alone</a><a href="#rejected">Rejected</a></nav>'
        + (f'<ul class="plain">{problems}</ul>' if problems else "")
    )


def _group(run: Run, preview: Preview, content_id: str, members: Sequence[Outcome]) -> str:
    members = sorted(members, key=lambda m: (_ORDER.get(m.outcome, 2), m.material_id))
    clusters = {run.truth.get(m.material_id, m.material_id) for m in members}
    if len(clusters) > 1:
        verdict = f'<span class="verdict warn">✗ mixes {len(clusters)} contents</span>'
    else:
        expected = sum(cluster in clusters for cluster in run.truth.values())
        complete = len(members) == expected
        told = '<span class="verdict good">✓ complete</span>'
        verdict = told if complete else f'<span class="verdict warn">{len(members)} of {expected}</span>'
    wide = " wide" if members[0].kind != "image" else ""
    figures = "".join(_member(run, m, preview) for m in members)
    return (
        f'<section class="group"><header><code>{text(content_id)}</code>{verdict}</header>'
        f'<div class="members{wide}">{figures}</div></section>'
    )


def _member(run: Run, result: Outcome, preview: Preview) -> str:
    material, shown = run.materials.get(result.material_id), ""
    if material is not None:
        shown += f"<blockquote>{text(material.text)}</blockquote>" if material.text else ""
        pictures = [uri for medium in preview(material) for uri in medium]
        images = "".join(picture(uri, result.material_id) for uri in pictures)
        if material.media:
            frames = " frames" if len(pictures) > 2 else ""
            shown += f'<div class="pictures{frames}">{images or text("(no preview)")}</div>'
    said = run.understood.get(result.material_id, "")
    told = f'<br><span class="soft">{text(said)}</span>' if said else ""
    return f"<figure>{shown}<figcaption>{_evidence(result)}{told}</figcaption></figure>"


def _evidence(result: Outcome) -> str:
    name = f"<b>{text(result.material_id)}</b>"
    if result.matched is None:
        return f'{name}<br><span class="soft">first seen</span>'
    score = _share(result.matched.get("score"))
    ranker, relation = result.matched.get("ranker", ""), result.matched.get("relation", "")
    with_whom = f"{relation} as {result.matched.get('material_id', '?')}" if relation == "same" else relation
    return (
        f'{name}<div class="bar"><i style="width:{score * 100:.0f}%"></i></div>'
        f'{score * 100:.1f} % · {text(with_whom)} <span class="soft">{text(ranker)}</span>'
    )


def _share(value: Any) -> float:
    """A score as 0..1, whatever the record holds."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return min(1.0, max(0.0, float(value)))


def _missed(run: Run) -> str:
    """Clusters of the truth that got several content IDs."""
    found = {r.material_id: r.content_id for r in run.results if r.content_id}
    clusters: dict[str, list[str]] = defaultdict(list)
    for name, cluster in run.truth.items():
        clusters[cluster].append(name)
    split = {c: names for c, names in sorted(clusters.items()) if len({found.get(n) for n in names}) > 1}
    if not split:
        return ""
    rows = ((cluster, ", ".join(names), len({found.get(n) for n in names})) for cluster, names in split.items())
    body = table(("true group", "members", "content IDs"), rows, "missed")
    return f"<details><summary>{len(split)} true groups that were not joined completely</summary>{body}</details>"


def _singletons(run: Run, preview: Preview, alone: Sequence[Outcome]) -> str:
    tiles, lines = [], []
    for result in sorted(alone, key=lambda r: r.material_id):
        material = run.materials.get(result.material_id)
        if material is None:
            continue
        pictures = [uris[0] for uris in preview(material) if uris]
        if pictures:
            name = text(result.material_id)
            tiles.append(f"<div>{picture(pictures[0], result.material_id)}<span>{name}</span></div>")
        elif material.text:
            lines.append(f"<li>{text(material.text)}</li>")
    strip = f'<div class="strip">{"".join(tiles)}</div>' if tiles else ""
    texts = f'<ul class="plain">{"".join(lines)}</ul>' if lines else ""
    title = f"{len(alone)} materials stand alone, each with a content ID of its own"
    return f'<h2 id="alone">Alone</h2><details><summary>{title}</summary>{strip}{texts}</details>'


def _failures(run: Run) -> str:
    failed = [r for r in run.results if r.outcome in ("rejected", "dead")]
    rows = table(("input", "planted", "reason"), _failure_rows(run, failed), "rejected")
    return f'<h2 id="rejected">Rejected: {len(failed)} inputs, each with its reason</h2>{rows}'


def _failure_rows(run: Run, failed: Sequence[Outcome]) -> Iterator[tuple[str, str, str]]:
    for result in sorted(failed, key=lambda r: r.material_id):
        defect = run.defects.get(result.material_id, "not planted")
        yield result.material_id, defect, result.reason or result.outcome
