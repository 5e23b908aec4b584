"""The suite for plug-in authors fails each faulty plug-in, in the test that is about that fault."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from materials.errors import Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.conformance import PluginConformance
from model_plugins.protocol import Example, ImageMedia, Manifest, ModelRef, Tensors

MODEL = ModelRef(name="tiny", inputs={"in": ("UINT8", (4, 4, 3))}, outputs=("out",))
COUNTER = itertools.count()


class Sound:
    """Conforms; each faulty one changes one thing."""

    manifest = Manifest(name="sound", version=1, media="image", schema="vector", model=MODEL, summary="a corner")

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        if media.rgb.size == 0:
            raise Rejected("empty_image", "no pixels")
        return {"in": np.ascontiguousarray(media.rgb[None, :4, :4])}

    def interpret(self, outputs: Tensors) -> Feature:
        return Feature.of("vector", outputs["out"][0])

    def examples(self) -> list[Example]:
        scenes = [gradient_scene(8, 8, seed) for seed in (1, 2)]
        return [Example(f"scene {number}", ImageMedia(scene, 8, 8)) for number, scene in enumerate(scenes)]


class BadName(Sound):
    manifest = Manifest(name="Bad Name", version=1, media="image", schema="vector", model=MODEL, summary="x")


class RestlessManifest(Sound):
    @property
    def manifest(self) -> Manifest:  # type: ignore[override]
        return Manifest(name="restless", version=next(COUNTER) + 1, media="image", schema="v", model=MODEL, summary="x")


class NoExamples(Sound):
    def examples(self) -> list[Example]:
        return []


class Random(Sound):
    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        tensors = super().prepare(media)
        assert tensors is not None
        return {"in": tensors["in"] + np.uint8(next(COUNTER) % 200)}


class WritesIntoTheMedium(Sound):
    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        tensors = super().prepare(media)
        if media.rgb.flags.writeable:
            media.rgb[0] += 1
        return tensors


class NeedsWritableMedia(Sound):
    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        media.rgb[:1] = media.rgb[:1].copy()
        return super().prepare(media)


class WrongDtype(Sound):
    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        tensors = super().prepare(media)
        assert tensors is not None
        return {"in": tensors["in"].astype(np.float32)}


class NoBatchAxis(Sound):
    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        tensors = super().prepare(media)
        assert tensors is not None
        return {"in": tensors["in"][0]}


class CrashesOnEmpty(Sound):
    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        return {"in": np.ascontiguousarray(media.rgb[None, :4, :4]) + media.rgb[0, 0, 0] * np.uint8(0)}


class OtherSchema(Sound):
    def interpret(self, outputs: Tensors) -> Feature:
        return Feature.of("bytes", outputs["out"][0])


class Remembers(Sound):
    def __init__(self) -> None:
        self.mean: NDArray[Any] | None = None

    def interpret(self, outputs: Tensors) -> Feature:
        row = outputs["out"][0]
        self.mean = row if self.mean is None else (self.mean + row) / 2
        return Feature.of("vector", self.mean)


class WritesIntoOutputs(Sound):
    def interpret(self, outputs: Tensors) -> Feature:
        outputs["out"][0] *= 2
        return super().interpret(outputs)


class DividesByZero(Sound):
    def interpret(self, outputs: Tensors) -> Feature:
        row = outputs["out"][0]
        return Feature.of("vector", row * (1 / float(row.any())))


FAULTS = {
    BadName: "test_manifest_is_sound",
    RestlessManifest: "test_manifest_is_constant",
    NoExamples: "test_has_examples",
    Random: "test_prepare_is_deterministic",
    WritesIntoTheMedium: "test_prepare_leaves_the_medium_alone",
    NeedsWritableMedia: "test_prepare_takes_read_only_media",
    WrongDtype: "test_prepared_tensors_fit_the_model",
    NoBatchAxis: "test_prepared_tensors_fit_the_model",
    CrashesOnEmpty: "test_an_empty_medium_is_refused_or_passed_over",
    OtherSchema: "test_interpret_gives_the_declared_feature",
    Remembers: "test_rows_of_a_batch_are_their_own",
    WritesIntoOutputs: "test_interpret_gives_the_declared_feature",
    DividesByZero: "test_interpret_survives_any_outputs",
}


def suite_for(plugin: type) -> Any:
    outputs = {"out": ("FP32", (16,))}
    return type("Suite", (PluginConformance,), {"plugin": plugin(), "outputs": outputs})()


@pytest.mark.parametrize(("plugin", "test"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_fault_is_found_where_it_belongs(plugin: type, test: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the faulty plug-in or the suite raises
        getattr(suite_for(plugin), test)()
    assert str(caught.value)


@pytest.mark.parametrize("test", [name for name in dir(PluginConformance) if name.startswith("test_")])
def test_the_sound_one_passes(test: str) -> None:
    getattr(suite_for(Sound), test)()


def test_outputs_must_be_stated() -> None:
    suite: Any = type("Suite", (PluginConformance,), {"plugin": Sound()})()
    with pytest.raises(AssertionError, match="state `outputs`"):
        suite.test_model_is_sound()
