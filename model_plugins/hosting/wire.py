"""What worker and hosted plug-in say to each other: msgpack over SOCK_SEQPACKET, arrays in shared memory.

Setup, then Reply `ready`; then Ask and Reply in turns, each pair with a number of its own, so that an answer nobody
asked for is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from model_plugins.hosting.shared_memory import ArrayRef
from model_plugins.protocol import ImageMedia, Manifest, Media, TextMedia, VideoMedia

Named = list[tuple[str, str, NDArray[Any]]]
"""As `SharedMemory.write` takes them: (group, name, array)."""
Step = Literal["prepare", "prepare_encoded", "interpret", "fuse"]
Capability = Literal["fuses", "decodes_on_server"]


class Setup(msgspec.Struct, frozen=True):
    """The first message. `path` is searched before all other folders."""

    target: str
    path: str
    memory_bytes: int
    max_files: int


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """One call. `numbers`: of a medium, its width, height and duration."""

    number: int
    step: Step
    medium: Literal["", "image", "video", "text"] = ""
    numbers: tuple[float, ...] = ()
    arrays: tuple[ArrayRef, ...] = ()


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """`failed` and `unloadable`: `code` is the exception's type, `message` its text, `where` its last line of code.

    `feature` has one array, named after its schema. After `out_of_memory` the child ends.
    """

    number: int
    status: Literal[
        "ready", "arrays", "feature", "nothing", "rejected", "failed", "unloadable", "unusable", "out_of_memory"
    ]
    arrays: tuple[ArrayRef, ...] = ()
    code: str = ""
    message: str = ""
    where: str = ""
    manifest: Manifest | None = None
    capabilities: tuple[Capability, ...] = ()
    needs: tuple[str, ...] = ()


def pack_media(number: int, media: Media) -> tuple[Ask, Named]:
    """A question without references yet, and its arrays."""
    if isinstance(media, ImageMedia):
        return Ask(number, "prepare", "image", (media.width, media.height)), [("", "rgb", media.rgb)]
    if isinstance(media, VideoMedia):
        arrays: Named = [("", "frames", media.frames), ("", "times", media.times)]
        if media.sound is not None:
            arrays.append(("", "sound", media.sound))
        return Ask(number, "prepare", "video", (media.width, media.height, media.duration)), arrays
    text = np.frombuffer(media.text.encode("utf-8", "surrogatepass"), np.uint8)
    return Ask(number, "prepare", "text"), [("", "text", text)]


def unpack_media(ask: Ask, arrays: Sequence[NDArray[Any]]) -> Media:
    """The reverse of `pack_media`."""
    if ask.medium == "image":
        return ImageMedia(arrays[0], int(ask.numbers[0]), int(ask.numbers[1]))
    if ask.medium == "video":
        width, height, duration = ask.numbers
        sound = arrays[2] if len(arrays) > 2 else None
        return VideoMedia(arrays[0], arrays[1], duration, int(width), int(height), sound)
    return TextMedia(unpack_text(arrays[0]))


def unpack_text(array: NDArray[Any]) -> str:
    """UTF-8 bytes -> text."""
    return array.tobytes().decode("utf-8", "surrogatepass")


def pack_features(number: int, features: Mapping[str, Feature], text: str) -> tuple[Ask, Named]:
    """The text comes first, then each feature, in the group of its plug-in and under the name of its schema."""
    encoded = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    arrays: Named = [("", "text", encoded)]
    arrays += [(plugin, feature.schema, feature.array()) for plugin, feature in features.items()]
    return Ask(number, "fuse"), arrays


def unpack_features(ask: Ask, arrays: Sequence[NDArray[Any]]) -> tuple[dict[str, Feature], str]:
    """The reverse of `pack_features`."""
    pairs = list(zip(ask.arrays, arrays, strict=True))
    features = {ref.plugin: Feature.of(ref.name, array) for ref, array in pairs[1:]}
    return features, unpack_text(arrays[0])
