"""`video-tags@1`: what a video shows: the picture model's classes, over frames that are spread through the clip."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.image_embedding import SIDE, squash
from model_plugins.builtin.image_tags import LEAST_SCORE, MODEL, probabilities
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.builtin.video_embedding import tells_something
from model_plugins.features import json_feature
from model_plugins.features.imagenet import CLASSES, class_names
from model_plugins.protocol import Example, Manifest, Tensors, VideoMedia

FRAMES = 12
"""Looked at in a clip; more change next to nothing and cost a model call each."""
MOST = 20
LEAST_MEAN = 0.01


def spread(frames: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Places of up to `FRAMES` frames, evenly through the clip, of those that are neither black nor flat (if any)."""
    telling = np.flatnonzero(tells_something(frames))
    places = telling if len(telling) else np.arange(len(frames))
    chosen = np.linspace(0, len(places) - 1, min(FRAMES, len(places))).round().astype(int)
    return np.asarray(places[chosen], np.intp)


class VideoTags:
    """Video -> schema `tags`: JSON `[{"tag", "class", "score", "share"}, …]`, up to 20, best first.

    `score`: the class's mean probability over the frames looked at (1 % and more); `share`: of the frames, those in
    which it reaches 5 %. A class that is seen in few frames ranks below one that is seen throughout.
    """

    manifest = Manifest(
        name="video-tags",
        version=1,
        media="video",
        schema="tags",
        model=MODEL,
        min_side=SIDE,
        summary="what a video shows: ImageNet's classes over frames spread through the clip",
    )
    model_outputs: ClassVar = {"probabilities": ("FP32", (CLASSES,))}

    def prepare(self, media: VideoMedia) -> dict[str, NDArray[Any]]:
        """`image`: uint8 [n, 224, 224, 3], n <= 12.

        Raises:
            Rejected: no frame could be read.
        """
        if media.frames.size == 0:
            raise Rejected("no_frames", "the video has no frame that can be decoded")
        return {"image": np.stack([squash(media.frames[place]) for place in spread(media.frames)])}

    def interpret(self, outputs: Tensors) -> Feature:
        """Means over the frames.

        Raises:
            Permanent: see `image_tags.probabilities`; or no frame.
        """
        rows = probabilities(outputs)
        if not len(rows):
            raise Permanent("the tags of no frame")
        mean, names = rows.mean(axis=0, dtype=np.float64), class_names()
        share = (rows >= LEAST_SCORE).mean(axis=0)
        best = [place for place in np.argsort(-mean, kind="stable")[:MOST].tolist() if mean[place] >= LEAST_MEAN]
        return json_feature.pack(
            "tags",
            [
                {
                    "tag": names[place],
                    "class": place,
                    "score": round(float(mean[place]), 4),
                    "share": round(float(share[place]), 4),
                }
                for place in best
            ],
        )

    def stand_in(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What a model might answer, for checks without one: one class for each mean colour."""
        rows = np.full((len(inputs["image"]), CLASSES), 0.1 / (CLASSES - 1), np.float32)
        for row, image in zip(rows, inputs["image"], strict=True):
            row[int(image.sum(dtype=np.uint64) % CLASSES)] = 0.9
        return {"probabilities": rows}

    def examples(self) -> list[Example]:
        """A short clip, a long one, and one with black frames."""
        scene = np.stack([gradient_scene(180, 320, seed) for seed in range(6)])
        faded = scene.copy()
        faded[0] = 0
        long = np.repeat(scene, 5, axis=0)
        return [
            Example("a clip of three seconds", VideoMedia(scene, np.arange(6) / 2.0, 3.0, 320, 180)),
            Example("a clip that fades in", VideoMedia(faded, np.arange(6) / 2.0, 3.0, 320, 180)),
            Example("more frames than are looked at", VideoMedia(long, np.arange(30) / 2.0, 15.0, 320, 180)),
        ]
