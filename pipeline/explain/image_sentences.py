"""What the evidence on two pictures says, in words."""

from __future__ import annotations

from typing import Any

from pipeline.explain.frame_geometry import Size, overlap
from vector_index.content.explanation import Judged

CHANCE = 8
"""As many keypoints agree by chance now and then."""
LITTLE_TURN = 1.5
"""Degrees."""
LITTLE = 0.06
"""Share of a picture that is not worth a word: keypoints do not say it more exactly."""
NEAR_HASH, FAR_HASH = 32, 80
"""Of 256 bits; up to 31 is the published threshold of PDQ for the same picture, 128 is chance."""


def image_sentences(judged: Judged, query: Size | None, reference: Size | None, same: bool) -> list[str]:
    """One sentence that says what was done to the picture, or that none was found in the other."""
    if same:
        return [f"{_deed(judged, query, reference)}."]
    if int(judged.evidence.get("inliers", 0)) > CHANCE:
        return [f"Parts of {judged.query} and {judged.reference} look alike, and yet they are two pictures."]
    return [f"No part of {judged.query} was found in {judged.reference}."]


def image_figures(judged: Judged, same: bool) -> list[str]:
    """What was measured, for who wants to check it."""
    told = judged.evidence
    return [f"{figure[:1].upper()}{figure[1:]}." for figure in _figures(told, int(told.get("inliers", 0)), same)]


def _deed(judged: Judged, query: Size | None, reference: Size | None) -> str:
    """`B is A mirrored and cropped by about 20 %`."""
    told = judged.evidence
    one, other = judged.query, judged.reference
    if told.get("pdq") == 0 and told.get("cosine", 0.0) >= 0.995:
        return f"{one} is {other}, but for its encoding"
    if int(told.get("inliers", 0)) <= CHANCE:
        return f"{one} looks like {other} as a whole"
    deeds = []
    if told.get("mirrored"):
        deeds.append("mirrored")
    turn = float(told.get("rotation", 0.0))
    if abs(turn) > LITTLE_TURN:
        deeds.append(f"turned by {abs(turn):.0f} degrees {'to the left' if turn > 0 else 'to the right'}")
    where = overlap(told, query, reference)
    if where is not None:
        if 1 - where.kept > LITTLE:
            deeds.append(f"cropped by about {_percent(1 - where.kept)}")
        if 1 - where.filled > LITTLE:
            deeds.append(f"set into a larger picture, of which it fills about {_percent(where.filled)}")
    if deeds:
        return f"{one} is {other} {_listed(deeds)}"
    # keypoints see neither colours nor a caption: what differs is not known, only what does not
    return (
        f"{one} is {other}, neither turned nor cut; what differs may be its colours or size, or something written or "
        "drawn on it"
    )


def _figures(told: dict[str, Any], agreeing: int, same: bool) -> list[str]:
    figures = []
    if "matches" in told:
        points = f"{agreeing} of {told['matches']} pairs of keypoints that look alike agree"
        turn, scale = told.get("rotation", 0.0), told.get("scale", 1.0)
        if agreeing > CHANCE:
            points += f" under one rotation by {abs(turn):.1f} degrees and scale {scale:.2g}"
        elif told["matches"]:
            points += " on one place, which is chance"
        else:
            points = f"none of {max(told.get('keypoints', [0]))} keypoints has its like in the other"
        figures.append(points)
    if "pdq" in told:
        bits = min(told["pdq"], told["pdq_turned"])
        word = "close" if bits < NEAR_HASH else "far apart" if bits > FAR_HASH else "neither close nor far apart"
        if not same or bits <= FAR_HASH or agreeing <= CHANCE:  # a cut or a frame changes the hash, and says nothing
            figures.append(f"their hashes differ in {bits} of 256 bits ({word})")
    if "cosine" in told:
        usual = f", this picture's next best hits have {told['usual_cosine']:.2f}" if "usual_cosine" in told else ""
        figures.append(f"their embeddings have cosine {told['cosine']:.2f}{usual}")
    return figures


def _percent(share: float) -> str:
    return f"{max(1, round(share * 20) * 5 if share > 0.1 else round(share * 100))} %"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
