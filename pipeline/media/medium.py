"""A medium after decoding: what plug-ins made of it, and on request the medium itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import ImageMedia, VideoMedia
from model_plugins.runtime.findings import Failure

Arrays = dict[str, NDArray[Any]]
Stage = tuple[str, int, int]
"""A step of preparing a medium: its name, start and end in epoch nanoseconds."""


class Prepared(msgspec.Struct):
    """A medium as the plug-ins see it.

    `sha256`: 32 bytes, of the file. `tensors`: plug-in name -> the arrays of its `prepare`; a plug-in for which the
    medium has nothing is absent. `width`, `height`: pixels, of the file, upright. `duration`: seconds, 0 for a still.
    `failures`: by plug-in name. `media` and `encoded`: the decoded medium and the file, where they were asked for.
    `stages`: what took how long.
    """

    sha256: bytes
    tensors: dict[str, Arrays]
    width: int
    height: int
    duration: float
    failures: dict[str, Failure] = {}
    media: ImageMedia | VideoMedia | None = None
    encoded: bytes | None = None
    stages: tuple[Stage, ...] = ()


def medium_arrays(prepared: Prepared) -> Arrays:
    """The arrays of `media` and `encoded`, for the way to another process."""
    arrays: Arrays = {}
    if isinstance(prepared.media, ImageMedia):
        arrays["rgb"] = prepared.media.rgb
    elif prepared.media is not None:
        arrays |= {"frames": prepared.media.frames, "times": prepared.media.times}
        if prepared.media.sound is not None:
            arrays["sound"] = prepared.media.sound
    if prepared.encoded is not None:
        arrays["encoded"] = np.frombuffer(prepared.encoded, np.uint8)
    return arrays


def medium_of(
    arrays: Mapping[str, NDArray[Any]], width: int, height: int, duration: float
) -> tuple[bytes | None, ImageMedia | VideoMedia | None]:
    """`encoded` and `media` out of `medium_arrays`."""
    encoded = arrays["encoded"].tobytes() if "encoded" in arrays else None
    if "rgb" in arrays:
        return encoded, ImageMedia(arrays["rgb"], width, height)
    if "frames" in arrays:
        media = VideoMedia(arrays["frames"], arrays["times"], duration, width, height, arrays.get("sound"))
        return encoded, media
    return encoded, None
