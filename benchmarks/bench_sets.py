"""A benchmark folder as evidence: the features of all its materials, made once by the plug-ins that a job runs.

No servers: media go through the job's decoder and the plug-ins, the embedding model runs in this process. What was made
is kept in a cache beside the folder's name, so that policies and arrival orders are measured in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.image_models import digest, embedder
from materials.errors import Rejected
from materials.records import Features, Kind
from model_plugins import registry
from model_plugins.protocol import Media, Plugin, TextMedia
from pipeline.media.image import decode_image
from pipeline.media.limits import MediaLimits
from pipeline.media.video import decode_video
from vector_index.spaces.factory import EVIDENCE

Row = dict[str, Any]
BATCH = 8
KINDS: Mapping[str, Kind] = {"image": "image", "video": "video", "text": "post"}
"""A folder of the benchmark -> the kind of its materials."""
KEY_FRAMES = "model_plugins.builtin.video_local:VideoLocal"
"""Read by the video ranker where a job names it; by its path, which holds whether or not it is registered."""
MIN_SIDE = 640
"""Shorter side below which pictures are not decoded reduced: no plug-in asks for more."""


class Item(msgspec.Struct, frozen=True):
    """A material with its features. `content`: what it is a copy of, or itself; "" where nobody knows."""

    name: str
    content: str
    text: str = ""
    features: Features = {}


class BenchSet(msgspec.Struct, frozen=True):
    """One kind of one folder: what is stored first, and what is asked. `attacks`: by query."""

    kind: Kind
    references: list[Item]
    queries: list[Item]
    attacks: dict[str, list[str]]


class Extractor:
    """Media -> features, by the shipped plug-ins whose features decide on content IDs. `model`: see `embedder`."""

    def __init__(self, model: Path | None = None) -> None:
        cv2.setNumThreads(1)
        self._model = embedder(model)
        self._plugins: dict[str, list[Plugin]] = {}
        for plugin in {**registry.load(_shipped()), **registry.load([KEY_FRAMES])}.values():
            self._plugins.setdefault(plugin.manifest.media, []).append(plugin)

    def features(self, kind: str, media: Media) -> Features:
        """As a job would send them to the index."""
        found: Features = {}
        for plugin in self._plugins[kind]:
            prepared = plugin.prepare(media)
            if prepared is None:
                continue
            if plugin.manifest.model is not None:
                prepared = {**prepared, "embedding": self._embed(prepared["image"])}
            found[plugin.manifest.key] = plugin.interpret(prepared)
        return found

    def _embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        chunks = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
        return np.concatenate([self._model(chunk) for chunk in chunks])

    def file(self, kind: str, path: Path) -> Features:
        """Features of an image or a video file; none for one that cannot be decoded."""
        try:
            data = path.read_bytes()
            media: Media = (
                decode_video(data, path.name, MediaLimits())
                if kind == "video"
                else decode_image(data, path.name, MediaLimits(), min_side=MIN_SIDE)
            )
            return self.features(kind, media)
        except Rejected:
            return {}


def _shipped() -> list[str]:
    return [manifest.name for manifest in registry.available() if manifest.schema in EVIDENCE]


def rows(path: Path) -> list[Row]:
    """JSON lines; none where there is no such file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def load(folder: Path, kind: str, cache: Path, model: Path | None = None) -> BenchSet | None:
    """One kind of a folder, out of the cache where it was made before; None where the folder lacks the kind.

    Args:
        model: another version of the image embedding, see `embedder`.
    """
    kept = cache / f"{folder.name}-{kind}{f'-{digest(model)}' if model else ''}.msgpack"
    if kept.is_file():
        return msgspec.msgpack.decode(kept.read_bytes(), type=BenchSet)
    truth = {row["query_id"]: row for row in rows(folder / kind / "gt.jsonl")}
    if not truth:
        return None
    extractor = Extractor(model)
    references = list(_items(extractor, folder, kind, "ref_id", rows(folder / kind / "refs.jsonl"), {}))
    content = {name: row["ref_id"] or row.get("origin", name) for name, row in truth.items()}
    queries = list(_items(extractor, folder, kind, "query_id", rows(folder / kind / "queries.jsonl"), content))
    made = BenchSet(KINDS[kind], references, queries, {name: row["attacks"] for name, row in truth.items()})
    cache.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(msgspec.msgpack.encode(made))
    return made


def _items(
    extractor: Extractor, folder: Path, kind: str, key: str, given: Iterable[Row], content: Mapping[str, str]
) -> Iterable[Item]:
    for row in given:
        name, text = row[key], row.get("text") or ""
        features = (
            extractor.features("text", TextMedia(text))
            if kind == "text"
            else extractor.file(kind, folder / row["path"])
        )
        yield Item(name, content.get(name, name), text, features)
