"""What goes into the demo's three streams: entries with their truth, and the media files beside them. Pure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import msgspec
from PIL import Image, ImageOps

from materials.records import Kind
from pipeline.demo import texts
from pipeline.demo.attacks.image import IMAGE_ATTACKS, file_ending
from pipeline.demo.attacks.text import TEXT_ATTACKS
from pipeline.demo.attacks.video import VIDEO_ATTACKS, Recipe, transcode
from pipeline.demo.sources import Media

LONG_SIDE: Final = 800
RAW_BYTES: Final = 300_000
REVIEWS: Final = 36
IMAGE_COPIES: Final = 38
TEXT_COPIES: Final = 36
PARTS: Final[dict[str, tuple[str, float, float]]] = {
    "bunny": ("bunny", 0.0, 5.3),
    "bikes-traffic": ("bikes", 0.0, 5.0),
    "bikes-pavement": ("bikes", 5.0, 10.0),
    "carphone": ("carphone", 0.0, 4.0),
    "city": ("city", 0.0, 7.6),
    "cockatoo": ("cockatoo", 0.0, 8.0),
}
"""Scene -> (source, from, to), in seconds."""
_EPOCH: Final = datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()
_DAY: Final = 86_400.0
_MILD_TEXT: Final = ("emoji", "repost", "punctuation", "link")
_MILD_IMAGE: Final = ("recompress", "caption", "resize", "crop", "border")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record and the truth about it. `arrives`: 0..1, its place in the day."""

    stream: Kind
    record: dict[str, Any]
    cluster: str
    arrives: float

    @property
    def material_id(self) -> str:
        return str(self.record["material_id"])


class Corpus(msgspec.Struct, frozen=True):
    """`files`: bytes by path relative to the input folder."""

    entries: list[Entry]
    files: dict[str, bytes]


def compose(media: Media, seed: int) -> Corpus:
    """All good entries. The same media and seed give the same corpus."""
    files: dict[str, bytes] = {}
    pictures = {scene: open_picture(data) for scene, data in sorted(media.photos.items())}
    entries = [
        *_images(media, pictures, files, Random(f"{seed}/image")),
        *_videos(media, files, Random(f"{seed}/video")),
        *_text_posts(media.reviews, Random(f"{seed}/text")),
        *_posts_with_media(pictures, files, Random(f"{seed}/post")),
    ]
    return Corpus(entries, files)


def open_picture(data: bytes) -> Image.Image:
    """Upright RGB on white, its longer side at most `LONG_SIDE` pixels."""
    with Image.open(io.BytesIO(data)) as opened:
        upright = ImageOps.exif_transpose(opened)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.new("RGBA", rgba.size, "white")
        upright.alpha_composite(rgba)
    picture = upright.convert("RGB")
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return picture


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def _entry(kind: Kind, name: str, cluster: str, arrives: float, **fields: Any) -> Entry:
    when = datetime.fromtimestamp(_EPOCH + arrives * _DAY, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    record = {"material_id": name, "kind": kind, **fields, "created_at": when, "biz": "feed"}
    return Entry(stream=kind, record=record, cluster=cluster, arrives=arrives)


def _first(rng: Random) -> float:
    return rng.uniform(0.0, 0.5)


def _later(than: float, rng: Random) -> float:
    return than + rng.uniform(0.05, 0.5)


def _images(media: Media, pictures: dict[str, Image.Image], files: dict[str, bytes], rng: Random) -> list[Entry]:
    """One original a scene, attacked copies of most, two reposts of identical bytes."""
    entries, at = [], {}
    for scene, picture in pictures.items():
        raw, ending = media.photos[scene], media.endings[scene]
        whole = len(raw) <= RAW_BYTES and ending in ("jpg", "png", "webp")
        name = f"media/{scene}.{ending if whole else 'jpg'}"
        files[name] = raw if whole else _jpeg(picture)
        at[scene] = _first(rng)
        entries.append(_entry("image", f"img-{scene}", f"image:{scene}", at[scene], media=[name]))
    scenes = rng.sample(sorted(pictures), len(pictures))
    for i, scene in enumerate((scenes[:28] * 2)[:IMAGE_COPIES]):
        attack = list(IMAGE_ATTACKS)[i % len(IMAGE_ATTACKS)]
        name = f"media/{scene}-{attack}.{file_ending(attack)}"
        files[name] = IMAGE_ATTACKS[attack](pictures[scene], rng)
        moment = _later(at[scene], rng)
        entries.append(_entry("image", f"img-{scene}-{attack}", f"image:{scene}", moment, media=[name]))
    for scene in scenes[28:30]:
        original = next(e for e in entries if e.material_id == f"img-{scene}").record["media"][0]
        name = f"media/{scene}-repost.{original.rpartition('.')[2]}"
        files[name] = files[original]
        moment = _later(at[scene], rng)
        entries.append(_entry("image", f"img-{scene}-repost", f"image:{scene}", moment, media=[name]))
    return entries


def _videos(media: Media, files: dict[str, bytes], rng: Random) -> list[Entry]:
    """One original a part, two attacked copies of each."""
    entries = []
    for i, (scene, (source, start, stop)) in enumerate(PARTS.items()):
        name, moment = f"media/{scene}.mp4", _first(rng)
        files[name] = transcode(media.videos[source], Recipe(start=start, stop=stop, crf=22))
        entries.append(_entry("video", f"vid-{scene}", f"video:{scene}", moment, media=[name]))
        for k in (2 * i, 2 * i + 1):
            attack = list(VIDEO_ATTACKS)[k % len(VIDEO_ATTACKS)]
            copy = f"media/{scene}-{attack}.mp4"
            files[copy] = transcode(files[name], VIDEO_ATTACKS[attack](stop - start, rng))
            moment_of_copy = _later(moment, rng)
            entries.append(_entry("video", f"vid-{scene}-{attack}", f"video:{scene}", moment_of_copy, media=[copy]))
    return entries


def _text_posts(reviews: Sequence[str], rng: Random) -> list[Entry]:
    """Sixty texts, edited copies of some, three identical ones."""
    plain = [*reviews, *texts.PLAIN]
    entries = []
    for i, text in enumerate([*plain, *texts.TEMPLATES]):
        entries.append(_entry("post", f"post-{i:02d}", f"post:{i:02d}", _first(rng), text=text))
    chosen = rng.sample(range(len(plain)), 32)
    for k, i in enumerate((chosen * 2)[:TEXT_COPIES]):
        attack = list(TEXT_ATTACKS)[k % len(TEXT_ATTACKS)]
        moment = _later(entries[i].arrives, rng)
        edited = TEXT_ATTACKS[attack](plain[i], rng)
        entries.append(_entry("post", f"post-{i:02d}-{attack}", f"post:{i:02d}", moment, text=edited))
    for i in chosen[-3:]:
        moment = _later(entries[i].arrives, rng)
        entries.append(_entry("post", f"post-{i:02d}-again", f"post:{i:02d}", moment, text=plain[i]))
    return entries


def _posts_with_media(pictures: dict[str, Image.Image], files: dict[str, bytes], rng: Random) -> list[Entry]:
    """Text and picture(s) with copies; the same pictures under other words; pictures or clips alone."""
    entries = []
    scenes = rng.sample(sorted(pictures), len(texts.WITH_MEDIA) + 4)

    def attacked(scene: str, tag: str, attack: str) -> str:
        name = f"media/{tag}-{scene}-{attack}.{file_ending(attack)}"
        files[name] = IMAGE_ATTACKS[attack](pictures[scene], rng)
        return name

    def original(scene: str) -> str:
        name = f"media/post-{scene}.jpg"
        files[name] = _jpeg(pictures[scene])
        return name

    for i, text in enumerate(texts.WITH_MEDIA):
        shown = [scenes[i], *scenes[10 + i : 11 + i]] if i < 2 else [scenes[i]]
        cluster, moment = f"post:album-{i}", _first(rng)
        media = [original(scene) for scene in shown]
        entries.append(_entry("post", f"album-{i}", cluster, moment, text=text, media=media))
        if i < 8:
            media = [attacked(scene, f"album-{i}", _MILD_IMAGE[i % len(_MILD_IMAGE)]) for scene in shown]
            edited = TEXT_ATTACKS[_MILD_TEXT[i % len(_MILD_TEXT)]](text, rng)
            later = _later(moment, rng)
            entries.append(_entry("post", f"album-{i}-copy", cluster, later, text=edited, media=media))
    for i, text in enumerate(texts.OTHER_WORDS):
        media = [f"media/post-{scenes[2 + i]}.jpg"]
        entries.append(
            _entry("post", f"other-words-{i}", f"post:other-{i}", rng.uniform(0.6, 1), text=text, media=media)
        )
    for i, scene in enumerate(scenes[12:14]):
        cluster, moment = f"post:wordless-{i}", _first(rng)
        entries.append(_entry("post", f"wordless-{i}", cluster, moment, media=[original(scene)]))
        media = [attacked(scene, f"wordless-{i}", "recompress")]
        entries.append(_entry("post", f"wordless-{i}-copy", cluster, _later(moment, rng), media=media))
    for scene in ("bunny", "city"):
        text, cluster, moment = f"这段视频我能看一整天：{scene}", f"post:clip-{scene}", _first(rng)
        media = [f"media/{scene}.mp4"]
        entries.append(_entry("post", f"clip-{scene}", cluster, moment, text=text, media=media))
        name = f"media/clip-{scene}-recompress.mp4"
        files[name] = transcode(files[media[0]], VIDEO_ATTACKS["recompress"](1.0, rng))
        edited = TEXT_ATTACKS["emoji"](text, rng)
        entries.append(_entry("post", f"clip-{scene}-copy", cluster, _later(moment, rng), text=edited, media=[name]))
    return entries
