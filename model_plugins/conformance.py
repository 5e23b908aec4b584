"""The test suite that every plug-in passes. An author inherits it:

    class TestMyPlugin(PluginConformance):
        plugin = MyPlugin()
        outputs: ClassVar = {"embedding": ("FP32", (256,))}

and runs pytest. Needs neither a model server nor pytest to be imported. `outputs` states what the model answers, as
its metadata does: name -> (dtype, shape without the batch axis); a plug-in without a model leaves it out.
"""

# ruff: noqa: S101, PT017 - this is a test-suite, and it must not import pytest

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.kserve import numpy_dtype
from model_plugins.protocol import (
    MEDIA_KINDS,
    Example,
    ImageMedia,
    Manifest,
    Media,
    Plugin,
    TextMedia,
    VideoMedia,
)
from model_plugins.runtime import check_inputs

Arrays = dict[str, NDArray[Any]]

_MEDIA_TYPES: dict[str, type] = {"image": ImageMedia, "video": VideoMedia, "text": TextMedia}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class PluginConformance:
    """Each `test_` method is one promise of the protocol; its message says what an author has to change."""

    plugin: ClassVar[Plugin]
    outputs: ClassVar[Mapping[str, tuple[str, tuple[int, ...]]]] = {}

    # -- the manifest

    def test_is_a_plugin(self) -> None:
        assert isinstance(self.plugin, Plugin), "it needs manifest, prepare, interpret and examples"
        assert isinstance(self.plugin.manifest, Manifest), "manifest must be a model_plugins.protocol.Manifest"

    def test_manifest_is_sound(self) -> None:
        manifest = self.plugin.manifest
        assert _NAME.fullmatch(manifest.name), f"name {manifest.name!r}: small letters, digits and hyphens"
        assert manifest.version >= 1, f"version {manifest.version}: versions start at 1"
        assert manifest.media in MEDIA_KINDS, f"media {manifest.media!r}: one of {MEDIA_KINDS}"
        assert manifest.schema, "schema: the feature needs the name of its schema"
        assert manifest.min_side >= 0, f"min_side {manifest.min_side}: pixels, 0 for any"
        assert manifest.summary, "summary: say in one line what the feature is"

    def test_manifest_is_constant(self) -> None:
        assert self.plugin.manifest == self.plugin.manifest == type(self.plugin)().manifest, "the manifest changes"

    def test_model_is_sound(self) -> None:
        model = self.plugin.manifest.model
        if model is None:
            assert not self.outputs, "outputs are stated, but the manifest names no model"
            return
        assert model.name, "the model needs a name: it is looked for under it"
        assert model.inputs, "the model needs at least one input"
        assert model.outputs, "the model needs at least one output"
        assert model.max_batch >= 1, f"max_batch {model.max_batch}: at least 1"
        for dtype, _ in model.inputs.values():
            numpy_dtype(dtype)
        assert set(self.outputs) == set(model.outputs), (
            f"state `outputs` in the test class for each output of the model: {model.outputs}"
        )

    # -- prepare

    def test_has_examples(self) -> None:
        examples = self.plugin.examples()
        assert examples, "give at least one example: it is test and documentation"
        expected = _MEDIA_TYPES[self.plugin.manifest.media]
        for example in examples:
            assert example.title, "each example needs a title"
            assert isinstance(example.media, expected), f"{example.title!r} is no {expected.__name__}"
        assert any(self._prepare(example) for example in examples), "no example gives tensors"

    def test_prepare_is_deterministic(self) -> None:
        for example in self.plugin.examples():
            first, second = self._prepare(example), type(self.plugin)().prepare(example.media)
            _same(first, second, f"prepare gives different tensors for {example.title!r} when it is called again")

    def test_prepare_leaves_the_medium_alone(self) -> None:
        for example in self.plugin.examples():
            before = _arrays_of(example.media)
            self.plugin.prepare(example.media)
            _same(before, _arrays_of(example.media), f"prepare writes into the medium of {example.title!r}")

    def test_prepare_takes_read_only_media(self) -> None:
        for example in self.plugin.examples():
            for name in _arrays_of(example.media):
                getattr(example.media, name).flags.writeable = False
            self.plugin.prepare(example.media)

    def test_prepared_tensors_fit_the_model(self) -> None:
        model = self.plugin.manifest.model
        for example in self.plugin.examples():
            tensors = self._prepare(example)
            for name, array in (tensors or {}).items():
                assert isinstance(array, np.ndarray), f"{name!r} of {example.title!r} is a {type(array).__name__}"
                assert array.dtype != object, f"{name!r} of {example.title!r} holds Python objects"
            if model is not None and tensors is not None:
                check_inputs(self.plugin.manifest.name, model, tensors)

    def test_an_empty_medium_is_refused_or_passed_over(self) -> None:
        try:
            tensors = self.plugin.prepare(_empty(self.plugin.manifest.media))
        except Rejected as error:
            assert error.code, "Rejected needs a code"
            assert error.sentence, "Rejected needs a sentence"
        except Exception as error:  # the point of the test: nothing else may come out
            raise AssertionError(f"an empty medium must give None or Rejected, not {error!r}") from error
        else:
            assert tensors is None, "an empty medium must give None or Rejected, not tensors"

    # -- interpret

    def test_interpret_gives_the_declared_feature(self) -> None:
        for example in self.plugin.examples():
            tensors = self._prepare(example)
            if tensors is not None:
                self._is_declared(self.plugin.interpret(self._answer(tensors)), example.title)

    def test_interpret_survives_any_outputs(self) -> None:
        """Zeros and not-a-numbers of the right shape give a feature, or `Permanent` with a reason; nothing else."""
        if self.plugin.manifest.model is None:
            return
        for example in self.plugin.examples():
            tensors = self._prepare(example)
            for value in (0, np.nan) if tensors is not None else ():
                outputs = self._answer(tensors or {})
                for name, (dtype, _) in self.outputs.items():
                    if dtype.startswith("FP") or value == 0:
                        outputs[name] = np.full_like(outputs[name], value)
                try:
                    self._is_declared(self.plugin.interpret(outputs), f"{example.title}, outputs all {value}")
                except Permanent as error:
                    assert str(error), "Permanent needs a message"

    def test_rows_of_a_batch_are_their_own(self) -> None:
        """Features do not depend on the company in a batch, nor on what was interpreted before."""
        every = [tensors for tensors in map(self._prepare, self.plugin.examples()) if tensors is not None]
        alone = [type(self.plugin)().interpret(self._answer(tensors)) for tensors in every]
        answers = self._answer_together(every)
        batched = [self.plugin.interpret(answer) for answer in reversed(answers)]
        for number, (one, other) in enumerate(zip(alone, reversed(batched), strict=True)):
            assert one == other, f"the feature of example {number} depends on what else was computed"

    # -- helpers

    def _prepare(self, example: Example) -> Arrays | None:
        return self.plugin.prepare(example.media)

    def _is_declared(self, feature: Feature, title: str) -> None:
        assert isinstance(feature, Feature), f"interpret gave a {type(feature).__name__} for {title!r}"
        declared = self.plugin.manifest.schema
        assert feature.schema == declared, f"schema {feature.schema!r} for {title!r}; declared is {declared!r}"
        array = feature.array()
        assert array.dtype == np.dtype(feature.dtype), f"dtype {feature.dtype!r} for {title!r}"
        if self.plugin.manifest.space:
            assert array.size, f"an embedding without numbers for {title!r}"
            assert np.isfinite(array).all(), f"an embedding that is not finite for {title!r}"

    def _answer(self, tensors: Arrays) -> Arrays:
        return self._answer_together([tensors])[0]

    def _answer_together(self, every: list[Arrays]) -> list[Arrays]:
        """What a model would answer for these materials in one batch: read-only slices of shared arrays, as the
        runtime gives them. Each row depends on its own input alone, and is of unit norm."""
        model = self.plugin.manifest.model
        if model is None:
            return [dict(tensors) for tensors in every]
        name = next(iter(model.inputs))
        rows = [row for tensors in every for row in tensors[name]]
        whole: Arrays = {}
        for output, (dtype, shape) in self.outputs.items():
            whole[output] = np.stack([_unit_row(row, shape) for row in rows]).astype(numpy_dtype(dtype))
            whole[output].flags.writeable = False
        answers: list[Arrays] = []
        start = 0
        for tensors in every:
            stop = start + len(tensors[name])
            extras = {key: array for key, array in tensors.items() if key not in model.inputs}
            answers.append({**{key: array[start:stop] for key, array in whole.items()}, **extras})
            start = stop
        return answers


def _unit_row(row: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    seed = int(np.frombuffer(np.ascontiguousarray(row).tobytes(), dtype=np.uint8).sum(dtype=np.uint64))
    values = np.random.default_rng(seed).standard_normal(shape)
    return np.asarray(values / np.linalg.norm(values))


def _arrays_of(media: Media) -> Arrays:
    fields = {name: getattr(media, name) for name in media.__struct_fields__}
    return {name: value.copy() for name, value in fields.items() if isinstance(value, np.ndarray)}


def _same(first: Arrays | None, second: Arrays | None, complaint: str) -> None:
    assert (first is None) == (second is None), complaint
    if first is not None and second is not None:
        assert first.keys() == second.keys(), complaint
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=complaint)


def _empty(media: str) -> Media:
    if media == "image":
        return ImageMedia(np.zeros((0, 0, 3), np.uint8), 0, 0)
    if media == "video":
        return VideoMedia(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), 0.0, 0, 0)
    return TextMedia("")
