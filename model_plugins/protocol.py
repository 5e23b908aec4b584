"""What a plug-in is: a manifest and two pure functions.

A plug-in turns media into named tensors (`prepare`) and model outputs into one feature (`interpret`). It never talks
to a server: the runtime finds the model, forms batches and calls it. `prepare` runs in the media child, beside the
decoded pixels, so that pixels never cross a process border; `interpret` runs in the Flink worker. A plug-in without
a model returns its finished feature arrays from `prepare`, and `interpret` gets them as they are.

Loading a plug-in is running its code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.records import Feature

Tensors = Mapping[str, NDArray[Any]]
MediaKind = Literal["image", "video", "text"]
MEDIA_KINDS: tuple[MediaKind, ...] = ("image", "video", "text")
SOUND_RATE = 16_000
"""Samples a second of a video's sound track."""
ANY = -1
"""A dimension of a model's input that may differ from item to item; only items of equal shape share a batch."""


class ImageMedia(msgspec.Struct, frozen=True):
    """A decoded still. `rgb`: uint8 [h, w, 3], upright; perhaps smaller than the file's `width` x `height`, but its
    shorter side is never below the largest `min_side` that the job's plug-ins ask for (unless the file's is)."""

    rgb: NDArray[np.uint8]
    width: int
    height: int


class VideoMedia(msgspec.Struct, frozen=True):
    """Frames sampled at 2 a second. `frames`: uint8 [n, h, w, 3]; `times`: float64 [n], seconds; so is `duration`.

    `sound`: float32 [m], -1..1, mono at `SOUND_RATE`; None where no plug-in of the job hears, or the clip is silent.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    duration: float
    width: int
    height: int
    sound: NDArray[np.float32] | None = None


class TextMedia(msgspec.Struct, frozen=True):
    """A post's raw text."""

    text: str


Media = ImageMedia | VideoMedia | TextMedia


class ModelRef(msgspec.Struct, frozen=True):
    """The model that a plug-in calls: a service name in discovery, its input and output names and the batch limit.

    `inputs`: name -> (dtype, shape without the batch axis, `ANY` where it varies), as Triton's metadata states them.
    `version`: of the model; empty: the one that the alias `production` names, else the server's own choice.
    """

    name: str
    inputs: dict[str, tuple[str, tuple[int, ...]]]
    outputs: tuple[str, ...]
    max_batch: int = 8
    version: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform knows of a plug-in before it runs it.

    `media`: the one kind of medium that it takes. `schema`: the feature's schema name. `space`: True when the feature
    is an embedding that recall searches. `min_side`: pixels that the decoder must leave on the shorter side.
    `hears`: True when `prepare` of a video needs its sound.
    """

    name: str
    version: int
    media: MediaKind
    schema: str
    model: ModelRef | None = None
    space: bool = False
    min_side: int = 0
    summary: str = ""
    hears: bool = False

    @property
    def key(self) -> str:
        """`name@version`: the key of its features and the name of its space."""
        return f"{self.name}@{self.version}"


class Example(msgspec.Struct, frozen=True):
    """A medium and what must be true of its feature; examples are tests and documentation.

    `expect`: feature -> whether it is as the title says; None: any feature of the declared schema, or none, will do.
    With a model it sees a feature of made-up outputs and can speak of its form only: a golden set judges the model.
    `features`: for a plug-in that fuses, what the others found, by name; `media` is then the material's text.
    """

    title: str
    media: Media
    expect: Callable[[Feature], bool] | None = None
    features: Mapping[str, Feature] = {}


@runtime_checkable
class Plugin(Protocol):
    """The protocol. Instances are cheap, hold no connections and are safe to use from one thread at a time."""

    @property
    def manifest(self) -> Manifest:
        """Constant for a class."""
        ...

    def prepare(self, media: Any) -> dict[str, NDArray[Any]] | None:
        """Media -> named tensors, each with a leading batch axis of n rows (n = 1 for a still, frames for a video).

        Returns None when the medium has nothing for this plug-in (an empty text): no feature, no error.
        Extra arrays whose names are not inputs of the model travel to `interpret` untouched (frame times).

        Raises:
            materials.errors.Rejected: the medium cannot be used, with the reason.
        """
        ...

    def interpret(self, outputs: Tensors) -> Feature:
        """Model outputs (rows in the order of `prepare`'s) and the extra arrays of `prepare` -> the feature."""
        ...

    def examples(self) -> list[Example]:
        """At least one."""
        ...


@runtime_checkable
class Fuses(Protocol):
    """Capability: the feature is made of other plug-ins' features of the same material, and of its text.

    `prepare` of such a plug-in is not called. `fuse` runs after the others, in the Flink worker; what it needs and the
    job does not compute, or what failed, is absent.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of plug-ins, without versions."""
        ...

    def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        """Features by plug-in name (without version) and the raw text -> the feature; None: nothing to say."""
        ...


@runtime_checkable
class DecodesOnServer(Protocol):
    """Capability: the model decodes by itself (nvJPEG, NVDEC), so the file's bytes are sent as they are.

    `prepare_encoded` is called instead of `prepare`, with the bytes of the file, once they were fetched and measured
    against the limits; decoding here is then left out when no other plug-in of the job needs pixels.
    """

    def prepare_encoded(self, data: bytes) -> dict[str, NDArray[Any]] | None:
        """As `prepare`; the usual input is UINT8 [1, len(data)] with the declared shape (`ANY`,)."""
        ...
