"""A pair explained, with whatever pictures there are."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.addresses import Addresses
from materials.errors import UsageError
from materials.records import Kind
from model_plugins.protocol import ImageMedia
from pipeline.explain.frame_geometry import Size
from pipeline.explain.kept_media import Kept, kept_media
from pipeline.explain.page import page
from pipeline.explain.pictures import Rgb, pair_picture, png, stacked
from pipeline.explain.sentences import figures, sentences
from pipeline.whereabouts import NEVER_SEEN, whereabouts
from vector_index.content.client import ContentClient
from vector_index.content.explanation import Explanation, Judged

SUFFIXES = (".html", ".png")
MOST_PICTURES = 6


class Explained(msgspec.Struct, frozen=True):
    """`sentences`: the verdict first. `figures`: what they rest on. `missing`: why a picture is not there."""

    explanation: Explanation
    sentences: list[str]
    pictures: list[Rgb]
    missing: list[str]
    figures: list[str] = []


def explained(state: Path, where: Addresses, one: str, other: str, policy: str) -> Explained:
    """Ask the index, look at what the media store kept, and put it into words.

    Raises:
        UsageError: an unknown policy, or one material named twice.
        Retryable: a part of the system does not answer.
    """
    with ContentClient(where.index) as client:
        explanation = client.explain(one, other, policy)
    pairs = _pairs(explanation)
    kinds: dict[str, Kind] = {name: kind for pair, kind in pairs for name in (pair.query, pair.reference)}
    kept = kept_media(state, where.redis, list(kinds.items())) if kinds else Kept({}, {})
    sizes: dict[str, Size] = {name: (float(medium.width), float(medium.height)) for name, medium in kept.media.items()
                              if isinstance(medium, ImageMedia)}  # fmt: skip
    pictures = []
    for pair, _ in pairs[:MOST_PICTURES]:
        if pair.query in kept.media and pair.reference in kept.media:
            drawn = pair_picture(pair, kept.media[pair.query], kept.media[pair.reference])
            pictures += [] if drawn is None else [drawn]
    unseen = [side.material_id for side in (explanation.one, explanation.other) if side.state == "unknown"]
    absent = {name: told for name, told in whereabouts(where.redis, unseen).items() if told != NEVER_SEEN}
    told = sentences(explanation, sizes, absent)
    return Explained(explanation, told, pictures, sorted(set(kept.missing.values())), figures(explanation))


def write(explained: Explained, path: Path) -> None:
    """Write a page or a picture.

    Raises:
        UsageError: another suffix, nothing to draw, or a place that cannot be written.
    """
    suffix = path.suffix.lower()
    check_target(path)
    if suffix == ".png" and not explained.pictures:
        why = explained.missing[0] if explained.missing else "these two have no pictures"
        raise UsageError(f"there is nothing to draw: {why}", "write a page instead: --out FILE.html")
    if suffix == ".png":
        data = png(stacked(explained.pictures))
    else:
        told = explained
        whole = page(told.explanation, told.sentences, told.pictures, told.missing, told.figures)
        data = whole.encode("utf-8", "xmlcharrefreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})", "name another file: --out FILE") from error


def check_target(path: Path) -> None:
    """Before anything is asked.

    Raises:
        UsageError: neither a page nor a picture.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} is neither a page nor a picture", "--out FILE.html or --out FILE.png")


def _pairs(explanation: Explanation) -> list[tuple[Judged, Kind]]:
    """What can be drawn: the two themselves, or of posts each medium beside its best match in the other."""
    kind = explanation.one.kind
    if kind in ("image", "video") and explanation.judged is not None:
        return [(explanation.judged, kind)]
    kinds: dict[str, Kind] = {
        name: "video" if medium == "video" else "image"
        for side in (explanation.one, explanation.other)
        for name, medium, _ in side.media
    }
    taken: set[str] = set()
    best = []
    for part in explanation.parts:
        if part.query not in taken and part.reference not in taken:
            taken |= {part.query, part.reference}
            best.append((part, kinds[part.query]))
    return best
