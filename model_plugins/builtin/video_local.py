"""`video-local@1`: SIFT keypoints of a video's key frames, with their times. Evidence for fine ranking only.

Frame embeddings lose a picture in picture, a letterbox or a small copy among all that is around it; keypoints do not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.builtin.video_embedding import tells_something
from model_plugins.features import local
from model_plugins.protocol import Example, Manifest, Tensors, VideoMedia

MAX_FRAMES = 16
"""Key frames of a video, evenly spread over those that show something."""
SPACING = 1.5
"""Seconds between key frames, while there are no more than `MAX_FRAMES`."""
MAX_POINTS = 112
"""Keypoints of one frame: with its times a clip of eight seconds is 32 KB."""
ROW_BYTES = 4 + local.ROW_BYTES


def key_frames(times: NDArray[np.float64], telling: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Numbers of the frames to look at, ascending: about `SPACING` apart, from the middle of each such stretch."""
    usable = np.flatnonzero(telling) if telling.any() else np.arange(len(times))
    if not len(usable):
        return usable
    span = float(times[usable[-1]] - times[usable[0]])
    count = int(np.clip(round(span / SPACING) + 1, 1, MAX_FRAMES))
    wanted = times[usable[0]] + (np.arange(count) + 0.5) * span / count
    nearest = np.abs(times[usable][None] - wanted[:, None]).argmin(axis=1)
    return np.asarray(np.unique(usable[nearest]), np.intp)


class VideoLocal:
    """Video -> uint8 (n, 56), schema `timed-keypoints`: milliseconds as uint32 LE, then a row of `image-local`.

    No model: about 15 ms of one core for each key frame. A video without texture has no keypoints: n = 0.
    """

    manifest = Manifest(
        name="video-local",
        version=1,
        media="video",
        schema="timed-keypoints",
        summary="SIFT keypoints of key frames; tells copies in part of the picture, and small or framed ones",
    )

    def prepare(self, media: VideoMedia) -> dict[str, NDArray[Any]]:
        """`keypoints`: uint8 [1, n, 56].

        Raises:
            Rejected: no frame could be read.
        """
        if media.frames.size == 0:
            raise Rejected("no_frames", "the video has no frame that can be decoded")
        times = np.asarray(media.times, dtype=np.float64)
        if len(media.frames) != len(times):
            raise Permanent(f"{len(media.frames)} frames with {len(times)} times")
        basis, rows = local.fitted_basis(), [np.empty((0, ROW_BYTES), np.uint8)]
        for number in key_frames(times, tells_something(media.frames)):
            packed = local.pack(local.detect(np.ascontiguousarray(media.frames[number]), MAX_POINTS), basis)
            stamp = np.full(len(packed), max(0, round(float(times[number]) * 1000)), "<u4")
            rows.append(np.concatenate([stamp.view(np.uint8).reshape(-1, 4), packed], axis=1))
        return {"keypoints": np.concatenate(rows)[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        """`keypoints` as `prepare` gave it -> the feature.

        Raises:
            Permanent: another shape.
        """
        rows = np.asarray(outputs["keypoints"], dtype=np.uint8)
        if rows.ndim != 3 or rows.shape[0] != 1 or rows.shape[2] != ROW_BYTES:
            raise Permanent(f"keypoints have shape {rows.shape}, not [1, n, {ROW_BYTES}]")
        return Feature.of("timed-keypoints", rows[0])

    def examples(self) -> list[Example]:
        """A clip with corners, and a black one."""
        scene = np.stack([gradient_scene(180, 320, seed) for seed in range(6)])
        corners = scene.copy()
        for number, frame in enumerate(corners):
            cv2.rectangle(frame, (40 + 6 * number, 50), (120 + 6 * number, 110), (250, 240, 20), -1)
        times = np.arange(6) / 2.0
        return [
            Example("a clip of three seconds", VideoMedia(corners, times, 3.0, 320, 180)),
            Example(
                "a black clip has no keypoints",
                VideoMedia(np.zeros_like(scene), times, 3.0, 320, 180),
                lambda feature: feature.shape == (0, ROW_BYTES),
            ),
        ]
