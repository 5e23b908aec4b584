"""What the evidence on two videos says, in words."""

from __future__ import annotations

from vector_index.content.explanation import Judged

LITTLE_SPEED = 0.04


def video_sentences(judged: Judged, same: bool) -> list[str]:
    """Which seconds of the one show which of the other, and at what speed."""
    told = judged.evidence
    one, other = judged.query, judged.reference
    if "segment" not in told:
        return [f"No part of {one} was found in {other}: their frames agree on no line in time."]
    q0, q1, r0, r1 = told["segment"]
    where = f"seconds {q0:.1f} to {q1:.1f} of {one} show seconds {r0:.1f} to {r1:.1f} of {other}"
    speed = float(told["speed"])
    if abs(speed - 1) > LITTLE_SPEED:
        where += f", played at {speed:.2g} times the speed"
    relation = judged.relation if judged.score >= 0.5 else ""
    if same or relation == "same":
        return [f"{_first_up(where)}."]
    parts = {
        "part_of": f"{one} is a part of {other}",
        "contains": f"{one} contains all of {other}, and more",
        "overlaps": f"{one} and {other} share a part",
    }
    if relation in parts:
        return [f"{parts[relation]}: {where}. That is a relation and no sameness."]
    return [f"The best that was found is that {where}, which is too weak a likeness."]


def video_figures(judged: Judged) -> list[str]:
    """How much of each, and what speaks for it; for who wants to check it."""
    told = judged.evidence
    if "segment" not in told:
        return []
    one, other = judged.query, judged.reference
    mine, theirs = told["cover"]
    mine_s, theirs_s = told["seconds"]
    return [
        f"{mine * 100:.0f} % of {one} ({mine_s:.1f} s) and {theirs * 100:.0f} % of {other} ({theirs_s:.1f} s) are "
        f"matched in {told['frames']} frames.",
        f"Along it frames have cosine {told['cosine']:.2f} (unrelated ones {told['usual_cosine']:.2f}), and what moves "
        f"agrees to {float(told['motion']):.2f} (1 is the same motion, 0 is none).",
    ]


def _first_up(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:] if sentence.startswith("seconds") else sentence
