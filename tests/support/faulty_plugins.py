"""Two plug-ins that keep every promise, and many that break exactly one: each class changes one thing.

A module of its own, so that a child process can load each by its dotted path.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.protocol import ANY, Example, ImageMedia, Manifest, ModelRef, Tensors, TextMedia, VideoMedia

Arrays = dict[str, NDArray[Any]]
COUNTER = itertools.count()
KEPT: list[NDArray[Any]] = []
MODEL = ModelRef(name="tiny", inputs={"in": ("UINT8", (4, 4, 3))}, outputs=("out",))


def manifest(name: str, **changes: Any) -> Manifest:
    """An image embedding's."""
    return Manifest(
        **{"name": name, "version": 1, "media": "image", "schema": "vector", "space": True, "summary": "x", **changes}
    )


def corner(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [1, 4, 4, 3], whatever the size of the picture."""
    rows, columns = (np.linspace(0, side - 1, 4).astype(int) for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[rows][:, columns][None])


class Sound:
    """Calls no model: the four corners' colours, as a unit vector."""

    manifest = manifest("sound")

    def prepare(self, media: Any) -> Any:
        if media.rgb.size == 0:
            return None
        return {"vector": self.vector(media.rgb)[None]}

    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = corner(rgb).astype(np.float32).ravel() + 1
        return np.asarray(values / np.linalg.norm(values))

    def interpret(self, outputs: Tensors) -> Any:
        return Feature.of("vector", outputs["vector"][0])

    def examples(self) -> list[Example]:
        scenes = {f"scene {seed}": gradient_scene(8, 8, seed) for seed in (1, 2)}
        return [Example(title, ImageMedia(scene, 8, 8), expect=is_unit) for title, scene in scenes.items()]


class SoundWithModel(Sound):
    """Calls one."""

    manifest = manifest("sound-with-model", model=MODEL)
    model_outputs: ClassVar = {"out": ("FP32", (16,))}

    def prepare(self, media: Any) -> Any:
        if media.rgb.size == 0:
            raise Rejected("empty_image", "no pixels")
        return {"in": corner(media.rgb)}

    def interpret(self, outputs: Tensors) -> Any:
        return Feature.of("vector", self.checked(outputs["out"])[0])

    def checked(self, rows: NDArray[Any]) -> NDArray[Any]:
        if not (abs(np.linalg.norm(rows, axis=1) - 1) < 0.01).all():
            raise Permanent("the model's vectors are not of length 1")
        return rows


class SoundFusion:
    """Fuses: how many of two features are there, and the text's length."""

    manifest = manifest("sound-fusion", media="video", schema="counts", space=False)
    needs = ("frames", "words")

    def prepare(self, media: Any) -> Any:
        raise AssertionError("never called")

    def interpret(self, outputs: Tensors) -> Any:
        raise AssertionError("never called")

    def fuse(self, features: Mapping[str, Feature], text: str) -> Any:
        if not features:
            return None
        return Feature.of("counts", np.array([len(features), len(text)], np.int32))

    def examples(self) -> list[Example]:
        one = Feature.of("vector", np.ones(1, np.float32))
        return [Example("both", TextMedia("some words"), features={"frames": one, "words": one})]


class SoundDecoder(SoundWithModel):
    """The model decodes."""

    manifest = manifest(
        "sound-decoder", model=ModelRef(name="jpeg", inputs={"in": ("UINT8", (ANY,))}, outputs=("out",))
    )

    def prepare(self, media: Any) -> Any:
        if media.rgb.size == 0:
            return None
        return {"in": np.ascontiguousarray(media.rgb).reshape(1, -1)}

    def prepare_encoded(self, data: bytes) -> Any:
        return {"in": np.frombuffer(data, np.uint8)[None]} if data else None


class SoundVideo:
    """Loudness, where there is sound."""

    manifest = manifest("sound-video", media="video", schema="loudness", space=False, hears=True)

    def prepare(self, media: Any) -> Any:
        if media.sound is None or not media.sound.size:
            return None
        return {"loudness": np.abs(media.sound).mean(dtype=np.float32).reshape(1, 1)}

    def interpret(self, outputs: Tensors) -> Any:
        return Feature.of("loudness", outputs["loudness"][0])

    def examples(self) -> list[Example]:
        frames = np.stack([gradient_scene(18, 32, seed) for seed in (1, 2)])
        sound = np.sin(np.arange(16_000) / 20).astype(np.float32)
        return [Example("a hum", VideoMedia(frames, np.array([0.0, 0.5]), 1.0, 32, 18, sound))]


def is_unit(feature: Feature) -> bool:
    return abs(float(np.linalg.norm(feature.array())) - 1) < 1e-3


# -- the manifest


class VersionIsText(Sound):
    manifest = manifest("version-is-text", version="1")


class InvalidName(Sound):
    manifest = manifest("Invalid Name")


class DuplicateName(Sound):
    manifest = manifest("image-pdq")


class RestlessManifest(Sound):
    @property
    def manifest(self) -> Manifest:  # type: ignore[override]
        return manifest("restless", version=next(COUNTER) + 1)


class NeedsArguments(Sound):
    def __init__(self, folder: str) -> None:
        self.folder = folder


class ForgetsItsOutputs(SoundWithModel):
    model_outputs: ClassVar = {}


class UnknownInputType(SoundWithModel):
    manifest = manifest("bytes", model=ModelRef(name="m", inputs={"in": ("BYTES", (1,))}, outputs=("out",)))


class NoExamples(Sound):
    def examples(self) -> list[Example]:
        return []


class OtherMediumInExamples(Sound):
    def examples(self) -> list[Example]:
        return [Example("a text", TextMedia("x"))]


class HearsPictures(Sound):
    manifest = manifest("hears-pictures", hears=True)

    def examples(self) -> list[Example]:
        return super().examples()


# -- what calls cost


class Hangs(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        while True:
            pass


class Sleeps(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(3600)
        return super().vector(rgb)


class EatsMemory(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        eaten = []
        while True:
            eaten.append(np.ones(2**21))


class Leaks(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        KEPT.append(np.ones(4096))
        return super().vector(rgb)


class Exits(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        os._exit(3)


class ExitsPolitely(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        sys.exit("no licence found")


class Crashes(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        ctypes.string_at(0)
        return super().vector(rgb)


class CallsHome(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        with socket.socket() as caller:
            caller.connect_ex(("127.0.0.1", 9))
        return super().vector(rgb)


# -- prepare


class Raises(Sound):
    def prepare(self, media: Any) -> Any:
        return {"vector": media.pixels}


class WrongDtype(SoundWithModel):
    def prepare(self, media: Any) -> Any:
        return {"in": super().prepare(media)["in"].astype(np.float32)}


class WrongShape(SoundWithModel):
    def prepare(self, media: Any) -> Any:
        return {"in": super().prepare(media)["in"][0]}


class GivesLists(Sound):
    def prepare(self, media: Any) -> Any:
        found = super().prepare(media)
        return found and {"vector": found["vector"].tolist()}


class Random(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = np.random.default_rng().standard_normal(16).astype(np.float32)
        return values / np.linalg.norm(values)


class WritesIntoTheMedium(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = super().vector(rgb)
        rgb[0] += 1
        return found


class NeedsWritableMedia(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        rgb[:1] = rgb[:1].copy()
        return super().vector(rgb)


class CrashesOnEmpty(Sound):
    def prepare(self, media: Any) -> Any:
        return {"vector": self.vector(media.rgb)[None]}


class CrashesOnBanners(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return super().vector(rgb[:4, :4]) if min(rgb[1:].shape[:2]) else super().vector(rgb[2:])


class HangsOnNoise(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        while rgb.shape[0] == 257:
            pass
        return super().vector(rgb)


class ExitsOnOnePixel(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        if rgb.shape[:2] == (1, 1):
            os._exit(0)
        return super().vector(rgb)


class NotANumberForBlack(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = corner(rgb).astype(np.float32).ravel()
        with np.errstate(invalid="ignore"):
            return np.asarray(values / np.linalg.norm(values))


# -- interpret and the feature


class NotANumber(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full(16, np.nan, np.float32)


class OtherSchema(Sound):
    def interpret(self, outputs: Tensors) -> Any:
        return Feature.of("bytes", outputs["vector"][0])


class DoublePrecision(Sound):
    def interpret(self, outputs: Tensors) -> Any:
        return Feature.of("vector", outputs["vector"][0].astype(np.float64))


class ForgetsTheNorm(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return super().vector(rgb) * 7


class GivesAnArray(Sound):
    def interpret(self, outputs: Tensors) -> Any:
        return outputs["vector"][0]


class WritesIntoOutputs(SoundWithModel):
    def checked(self, rows: NDArray[Any]) -> NDArray[Any]:
        rows /= 1
        return rows


class RandomFeature(Sound):
    def interpret(self, outputs: Tensors) -> Any:
        order = np.random.default_rng().permutation(48)
        return Feature.of("vector", outputs["vector"][0][order])


class DependsOnTheBatch(SoundWithModel):
    def checked(self, rows: NDArray[Any]) -> NDArray[Any]:
        whole = rows.base if rows.base is not None else rows
        values = super().checked(rows) + (whole.mean(axis=0) if len(whole) > len(rows) else 0)
        return values / np.linalg.norm(values, axis=1, keepdims=True)


class Remembers(Sound):
    def __init__(self) -> None:
        self.last: NDArray[Any] | None = None

    def interpret(self, outputs: Tensors) -> Any:
        row = outputs["vector"][0]
        mean = row if self.last is None else row + self.last
        self.last = row
        return Feature.of("vector", mean / np.linalg.norm(mean))


class TrustsTheModel(SoundWithModel):
    def checked(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows


class GrowsWithThePicture(Sound):
    def vector(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        counts = np.bincount(rgb.ravel() // 64 + 1).astype(np.float32)
        return counts / np.linalg.norm(counts)

    def examples(self) -> list[Example]:
        return [Example("a dark picture", ImageMedia(np.full((8, 8, 3), 9, np.uint8), 8, 8))]


class UntrueExample(Sound):
    def examples(self) -> list[Example]:
        white = np.full((8, 8, 3), 255, np.uint8)
        return [*super().examples(), Example("white is all zero", ImageMedia(white, 8, 8), expect=is_zero)]


def is_zero(feature: Feature) -> bool:
    return not feature.array().any()


# -- capabilities


class FusionNeedsAll(SoundFusion):
    def fuse(self, features: Mapping[str, Feature], text: str) -> Any:
        return Feature.of("counts", features["frames"].array() + features["words"].array())


class FusionWithoutNeeds(SoundFusion):
    needs = ()


class DecodesEverywhere(SoundDecoder):
    def prepare_encoded(self, data: bytes) -> Any:
        return {"in": np.frombuffer(data[: data.index(b"IDAT")], np.uint8)[None]}


class DecodesWithoutModel(Sound):
    manifest = manifest("decodes-without-model")

    def prepare_encoded(self, data: bytes) -> Any:
        return {"vector": np.frombuffer(data, np.uint8)[None]}


class HearsSecretly(SoundVideo):
    manifest = manifest("hears-secretly", media="video", schema="loudness", space=False)


class NeedsSound(SoundVideo):
    def prepare(self, media: Any) -> Any:
        if not media.frames.size:
            return None
        return {"loudness": np.abs(media.sound).mean(dtype=np.float32).reshape(1, 1)}
