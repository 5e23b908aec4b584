"""`video-embedding@1`: what each sampled frame of a video looks like, with its time; recall and alignment use it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.image_embedding import DIMENSIONS, MODEL, SIDE, squash, unit_vectors
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.protocol import Example, Manifest, Tensors, VideoMedia

_DARK = 12.0
_FLAT = 4.0
"""Grey levels of 255: a frame whose mean is below the first, or whose spread is below the second, shows nothing.

Fades and title cards look alike in all videos: as evidence they would only tie strangers together."""


def tells_something(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """uint8 [n, h, w, 3] -> bool [n]: whether the frame is neither near black nor flat."""
    small = frames[:, ::4, ::4].reshape(len(frames), -1).astype(np.float32)
    return np.asarray((small.mean(axis=1) >= _DARK) & (small.std(axis=1) >= _FLAT))


class VideoEmbedding:
    """Video -> float32 (n, 257), schema `timed-vectors`: column 0 the seconds, then the frame's unit vector."""

    manifest = Manifest(
        name="video-embedding",
        version=1,
        media="video",
        schema="timed-vectors",
        model=MODEL,
        space=True,
        min_side=SIDE,
        summary="what each frame looks like, two a second, by the image model",
    )
    model_outputs: ClassVar = {"embedding": ("FP32", (DIMENSIONS,))}
    """Name -> (dtype, shape of a row): what the conformance suite answers in the model's place."""

    def prepare(self, media: VideoMedia) -> dict[str, NDArray[Any]]:
        """`image`: uint8 [n, 224, 224, 3], and the extra array `times`: float64 [n], seconds.

        Raises:
            Rejected: no frame could be read.
        """
        if media.frames.size == 0:
            raise Rejected("no_frames", "the video has no frame that can be decoded")
        if len(media.frames) != len(media.times):
            raise Permanent(f"{len(media.frames)} frames with {len(media.times)} times")
        images = np.stack([squash(frame) for frame in media.frames])
        times = np.asarray(media.times, dtype=np.float64)
        kept = tells_something(images)
        if kept.any() and not kept.all():
            images, times = images[kept], times[kept]
        return {"image": images, "times": times}

    def interpret(self, outputs: Tensors) -> Feature:
        """Times and vectors side by side.

        Raises:
            Permanent: see `unit_vectors`; or another number of rows than of times.
        """
        vectors, times = unit_vectors(outputs), outputs["times"]
        if len(vectors) != len(times):
            raise Permanent(f"{len(vectors)} frame vectors for {len(times)} frames")
        return Feature.of("timed-vectors", np.column_stack((times.astype(np.float32), vectors)))

    def examples(self) -> list[Example]:
        """A clip, one with black frames at its ends, and one that is black throughout."""
        scene = np.stack([gradient_scene(180, 320, seed) for seed in range(6)])
        faded = scene.copy()
        faded[0] = 0
        faded[-1] = 3
        times = np.arange(6) / 2.0
        return [
            Example("a clip of three seconds", VideoMedia(scene, times, 3.0, 320, 180)),
            Example("a clip that fades in and out", VideoMedia(faded, times, 3.0, 320, 180)),
            Example("a black clip keeps its frames", VideoMedia(np.zeros_like(scene), times, 3.0, 320, 180)),
            Example(
                "more frames than a batch", VideoMedia(np.repeat(scene, 3, axis=0), np.arange(18) / 2, 9, 320, 180)
            ),
        ]
