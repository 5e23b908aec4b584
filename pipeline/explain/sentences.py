"""An explanation for a moderator: the verdict and why, in sentences; and apart from these what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.explain.frame_geometry import Size
from pipeline.explain.image_sentences import image_figures, image_sentences
from pipeline.explain.post_sentences import post_figures, post_sentences
from pipeline.explain.video_sentences import video_figures, video_sentences
from vector_index.content.explanation import Explanation, Judged, Said, Side, Step

NOUNS = {"image": "picture", "video": "video", "post": "post"}
A_KIND = {"image": "an image", "video": "a video", "post": "a post"}


def sentences(
    explanation: Explanation, sizes: Mapping[str, Size] | None = None, absent: Mapping[str, str] | None = None
) -> list[str]:
    """The first sentence is the verdict.

    Args:
        sizes: width and height by material, of the pictures that could be looked at.
        absent: of materials that the index never saw, what became of them.
    """
    sizes = sizes or {}
    sides = (explanation.one, explanation.other)
    missing = [_absent(side, explanation, absent or {}) for side in sides if side.state != "stored"]
    if missing:
        return [*missing, *[_judgement(said) for said in explanation.verdicts]]
    if explanation.one.kind != explanation.other.kind:
        return _other_kinds(explanation)
    judged = explanation.judged
    if judged is None:
        raise AssertionError("two stored materials of one kind are always compared")
    said = [_judgement(one) for one in explanation.verdicts]
    alike = judged.relation == "same" and judged.score >= explanation.needed
    measured = _measured(explanation, judged, sizes, alike)
    return [_verdict(explanation), *said, *measured, *_way(explanation, judged, alike)]


def figures(explanation: Explanation) -> list[str]:
    """What the sentences rest on: the score first; nothing where two were not compared."""
    judged = explanation.judged
    if judged is None:
        return []
    alike = judged.relation == "same" and judged.score >= explanation.needed
    if explanation.one.kind == "image":
        measured = image_figures(judged, alike)
    else:
        measured = video_figures(judged) if explanation.one.kind == "video" else post_figures(judged)
    return [_score(explanation, judged), *measured]


def _verdict(explanation: Explanation) -> str:
    one, other = explanation.one, explanation.other
    noun = NOUNS[str(one.kind)]
    if explanation.same:
        return f"Same {noun}: {one.material_id} and {other.material_id} share content ID {one.content_id}."
    return (
        f"Not the same {noun}: {one.material_id} has content ID {one.content_id}, {other.material_id} has "
        f"{other.content_id}."
    )


def _absent(side: Side, explanation: Explanation, absent: Mapping[str, str]) -> str:
    name = side.material_id
    if side.state == "deleted":
        had = f" Its content ID was {side.decided_as}, which stays with those who share it." if side.decided_as else ""
        return f"{name} was deleted: what it looked like is erased, so it can no longer be compared.{had}"
    if side.state == "other_policy":
        return (
            f"{name} was never decided under policy {explanation.policy}, only under {', '.join(side.policies)}: a "
            "content ID belongs to one policy."
        )
    return f"{name} {absent.get(name) or 'is unknown: no material of that id was ever taken in'}."


def _other_kinds(explanation: Explanation) -> list[str]:
    one, other = explanation.one, explanation.other
    kinds = f"{one.material_id} is {A_KIND[str(one.kind)]} and {other.material_id} {A_KIND[str(other.kind)]}"
    told = [f"Not the same: {kinds}, and only materials of one kind share a content ID."]
    for post, medium in ((one, other), (other, one)):
        for name, kind, content_id in post.media:
            if kind == medium.kind and content_id == medium.content_id:
                told.append(f"But {medium.material_id} is the same {NOUNS[kind]} as {name}, a medium of that post.")
    return told


def _measured(explanation: Explanation, judged: Judged, sizes: Mapping[str, Size], alike: bool) -> list[str]:
    if explanation.one.kind == "image":
        return image_sentences(judged, sizes.get(judged.query), sizes.get(judged.reference), alike)
    if explanation.one.kind == "video":
        return video_sentences(judged, alike)
    return post_sentences(explanation, judged)


def _score(explanation: Explanation, judged: Judged) -> str:
    then = explanation.decided
    was = f" (it was {then:.3f} when it was decided)" if then is not None and abs(then - judged.score) > 0.01 else ""
    found = "" if judged.rank else f" A search for {judged.query} does not even find {judged.reference}."
    return f"Score {judged.score:.3f}{was}, needed {explanation.needed:.2f} under policy {explanation.policy}.{found}"


def _way(explanation: Explanation, judged: Judged, alike: bool) -> list[str]:
    """How they came to what they are, where the score alone does not say it."""
    different = any(said.verdict == "different" for said in explanation.verdicts)
    if explanation.same:
        direct = len(explanation.path) == 1 and not explanation.path[0].merged and not explanation.path[0].who
        if direct and alike:
            return []
        steps = "; ".join(_step(step) for step in explanation.path)
        head = "They share it by way of others" if len(explanation.path) > 1 else "How they came together"
        return [f"{head}: {steps}."] if steps else []
    if explanation.split and not different:
        does = "The score would do, but" if alike else "Nor would the score do, and"
        return [f"{does} {explanation.split}; the merge job leaves that as it is."]
    if not alike and judged.relation == "related" and judged.score >= explanation.needed:
        return ["That is how sure it is that they share something: they are related, which is less than the same."]
    if not alike:
        return []
    if different:
        return ["By the score alone they would share one; a person's word wins."]
    roles = {side.material_id: side.role for side in (explanation.one, explanation.other)}
    if roles[judged.reference] == "member":
        return [
            f"The score would do for a centre, but {judged.reference} is only a member of its content ID: others join "
            "through its centre and its exemplars, so groups do not drift."
        ]
    if roles[judged.reference] != "centre" and judged.score < explanation.needed_member:
        return [
            f"The score would do for a centre, but {judged.reference} is only {_role(roles[judged.reference])} of its "
            f"content ID, where {explanation.needed_member:.2f} is needed: so groups do not drift."
        ]
    return [
        "The score would do now, but not when each was decided: the other was not in sight, or another content ID was"
        " nearer. Whether the two IDs should be one, sosie content merge --scan says."
    ]


def _role(role: str) -> str:
    return {"exemplar": "an exemplar", "member": "a member"}.get(role, "no centre")


def _step(step: Step) -> str:
    if step.merged:
        by = f" by {step.who}" if step.who else ""
        return f"{step.merged} was merged{by}{f' ({step.why})' if step.why else ''}"
    if step.ranker == "person@1":
        who = step.who or "a person"
        return f"{who} declared {step.material_id} and {step.other} the same"
    return f"{step.material_id} matched {step.other} with {step.score:.3f}"


def _judgement(said: Said) -> str:
    when = datetime.fromtimestamp(said.at, UTC).strftime("%Y-%m-%d")
    what = "the same" if said.verdict == "same" else "different"
    why = f" (“{said.why}”)" if said.why else ""
    holds = "" if said.direct else ", which holds for all that persons declared the same as these"
    return f"{said.who} declared {said.one} and {said.other} {what} on {when}{why}{holds}; that wins over every score."
