"""What the evidence on two posts says, in words: their media, then their texts."""

from __future__ import annotations

from materials.text import normalise
from pipeline.explain.text_difference import difference
from vector_index.content.explanation import Explanation, Judged, Side

MOST_TOLD = 4
LONGEST = 40
OTHER_TEXT = 0.4
"""Share of common signs below which two texts are simply other texts: any two share some."""


def post_sentences(explanation: Explanation, judged: Judged) -> list[str]:
    """A verdict on the media, one on the texts."""
    sides = {side.material_id: side for side in (explanation.one, explanation.other)}
    query, reference = sides[judged.query], sides[judged.reference]
    told = [_media(query, reference, judged)] if query.media or reference.media else []
    return [*told, _texts(query, reference, judged)]


def _media(query: Side, reference: Side, judged: Judged) -> str:
    ours, theirs = [cid for _, _, cid in query.media], [cid for _, _, cid in reference.media]
    common = set(ours) & set(theirs) - {""}
    counts = f"{query.material_id} has {_counted(len(ours))}, {reference.material_id} has {_counted(len(theirs))}"
    if common and set(ours) == set(theirs):
        return f"Their media match both ways: {counts}, with the same content IDs."
    if judged.relation == "same":
        shared = f"{len(common)} with the same content IDs, the rest" if common else "all"
        return f"Their media match both ways: {counts}, {shared} as likely copies beside a copied text."
    if common:
        return f"They share {len(common)} of their media: {counts}."
    if not ours or not theirs:
        return f"Only one of them has media: {counts}."
    return f"None of their media are the same: {counts}."


def _texts(query: Side, reference: Side, judged: Judged) -> str:
    if query.text == reference.text:
        return "Their texts are equal." if query.text else "Neither has a text."
    if not query.text.strip() or not reference.text.strip():
        return f"Only {(query if query.text.strip() else reference).material_id} has a text."
    found = difference(reference.text, query.text)
    told = judged.evidence
    if found.replaced and not any(found.added) and "" != normalise(query.text) == normalise(reference.text):
        return "Their texts are the same but for capitals, width or script (traditional or simplified), and signs."
    head = (
        "Their texts differ in signs only"
        if told.get("texts", 0.0) >= 0.995 and not found.replaced and not any(found.numbers)
        else f"{found.shared * 100:.0f} % of the longer text stands in both"
    )
    if found.shared < OTHER_TEXT and told.get("texts", 0.0) < 0.5:
        return f"Their texts are other texts: “{_cut(query.text)}” and “{_cut(reference.text)}”."
    parts = [head]
    only_old, only_new = found.numbers
    if only_old and only_new:
        parts.append(
            f"{reference.material_id} has the numbers {_some(only_old)} where {query.material_id} has {_some(only_new)}"
        )
    elif only_old or only_new:
        name, rest = (reference, only_old) if only_old else (query, only_new)
        parts.append(f"only {name.material_id} has the numbers {_some(rest)}")
    words = [(a, b) for a, b in found.replaced if not (_is_number(a) and _is_number(b))]
    if words:
        swapped = "; ".join(f"“{_cut(b)}” stands for “{_cut(a)}”" for a, b in words[:MOST_TOLD])
        parts.append(f"in {query.material_id} {swapped}{'; and more' if len(words) > MOST_TOLD else ''}")
    for adder, extra in ((reference.material_id, found.added[0]), (query.material_id, found.added[1])):
        if extra:
            parts.append(f"{adder} adds {'; '.join(f'“{_cut(one)}”' for one in extra[:MOST_TOLD])}")
    return "; ".join(parts) + "."


def post_figures(judged: Judged) -> list[str]:
    """What was measured, for who wants to check it."""
    told = judged.evidence
    return [f"That one text is a copy of the other has probability {told['texts']:.2f}."] if "texts" in told else []


def _counted(count: int) -> str:
    return {0: "none", 1: "one medium"}.get(count, f"{count} media")


def _some(values: list[str]) -> str:
    return ", ".join(values[:MOST_TOLD]) + ("…" if len(values) > MOST_TOLD else "")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _is_number(text: str) -> bool:
    return all(sign.isdigit() or sign in ".,:% " for sign in text)
