"""What the parts of the suite share: the plug-in under test, how its functions are called, and which promises rest on
which."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeVar
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.conformance.limits import Limits
from model_plugins.conformance.promises import DoesNotApply, Promise, broken, demand
from model_plugins.conformance.stand_in import Arrays, Outputs, answer_together
from model_plugins.protocol import Example, Fuses, Manifest, Media, ModelRef, Plugin, TextMedia
from model_plugins.runtime import check_inputs

T = TypeVar("T")
_UNIT = 0.02
"""How far the squared length of an embedding may be from 1: a half-precision model stays well inside."""


class Suite:
    """State of one plug-in's check. A subclass is one plug-in; outcomes are kept by class."""

    plugin: ClassVar[Any]
    outputs: ClassVar[Outputs] = {}
    limits: ClassVar[Limits] = Limits()
    entry_name: ClassVar[str] = ""
    _outcomes: ClassVar[dict[str, BaseException | None]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._outcomes = {}

    _doing: tuple[str, str] = ("the plug-in", "")

    # -- how promises rest on each other

    def demand_needs(self, promise: Promise) -> None:
        """Judge what the promise rests on, once a class."""
        for need in promise.needs:
            if need not in self._outcomes:
                with suppress(AssertionError, SkipTest):  # remembered, and looked at below
                    getattr(type(self)(), need)()
            if isinstance(self._outcomes[need], AssertionError | SkipTest):
                raise SkipTest(f"not judged: it rests on {need.removeprefix('test_').replace('_', '-')}")

    def remember(self, promise: Promise, outcome: BaseException | None) -> None:
        """Keep how it ended."""
        self._outcomes[promise.test] = outcome

    def doing(self) -> tuple[str, str]:
        """The plug-in's function that ran last, and the title of its example."""
        return self._doing

    def observe(self, what: str, example: str, begins: bool) -> None:
        """A function of the plug-in is entered or left; for whoever watches over it."""

    # -- the plug-in's functions

    @property
    def manifest(self) -> Manifest:
        found: Manifest = self.plugin.manifest
        return found

    @property
    def stated_outputs(self) -> Outputs:
        """Of the test class, else of the plug-in."""
        stated: Outputs = self.outputs or getattr(self.plugin, "model_outputs", {})
        return stated

    def another(self) -> Any:
        """A new instance of the same plug-in."""
        return self.call("__init__", "", type(self.plugin))

    def call(self, what: str, example: str, function: Callable[..., T], *arguments: Any) -> T:
        """Call the plug-in's code, so that whoever watches knows where it is."""
        self._doing = (what, example)
        self.observe(what, example, True)
        answer = function(*arguments)
        self.observe(what, example, False)
        self._doing = (f"the check of what {what} gave", example)
        return answer

    def examples(self) -> list[Example]:
        """New ones at each call, whatever an earlier promise did to them."""
        found = self.call("examples", "", self.plugin.examples)
        return [
            Example(each.title, fresh(each.media), each.expect, each.features) if isinstance(each, Example) else each
            for each in found
        ]

    def prepare(self, example: Example, plugin: Plugin | None = None) -> Arrays | None:
        """`prepare` of a copy of the medium."""
        found: Arrays | None = self.call(
            "prepare", example.title, (plugin or self.plugin).prepare, fresh(example.media)
        )
        return found

    def interpret(self, outputs: Arrays, title: str, plugin: Plugin | None = None) -> Feature:
        """`interpret` of the outputs."""
        found: Feature = self.call("interpret", title, (plugin or self.plugin).interpret, outputs)
        return found

    def fuse(self, example: Example, features: dict[str, Feature] | None = None) -> Feature | None:
        """`fuse` of the example's features, or of others with its text."""
        text = example.media.text if isinstance(example.media, TextMedia) else ""
        given = dict(example.features) if features is None else features
        found: Feature | None = self.call("fuse", example.title, self.plugin.fuse, given, text)
        return found

    def answer(self, tensors: Arrays) -> Arrays:
        """The stand-in model's answer for one material."""
        return self.answers([tensors])[0]

    def answers(self, every: list[Arrays]) -> list[Arrays]:
        """For several in one batch."""
        return answer_together(self.plugin, self.manifest.model, self.stated_outputs, every)

    def feature_of(self, example: Example) -> Feature | None:
        """From the example to its feature, by the way that the platform takes."""
        if isinstance(self.plugin, Fuses):
            return self.fuse(example)
        tensors = self.prepare(example)
        return None if tensors is None else self.interpret(self.answer(tensors), example.title)

    # -- what several promises look at

    def needs_prepare(self) -> None:
        """`prepare` and `interpret` of a plug-in that fuses are never called."""
        if isinstance(self.plugin, Fuses):
            raise DoesNotApply("it fuses: prepare and interpret are not called")

    def needs_model(self) -> ModelRef:
        """Only plug-ins with a model go on."""
        model = self.manifest.model
        if model is None:
            raise DoesNotApply("it names no model")
        return model

    def is_prepared(self, tensors: object, title: str) -> Arrays:
        """Named arrays of plain numbers that fit the model."""
        if not isinstance(tensors, dict):
            broken(f"prepare gave a {type(tensors).__name__}", title, "return a dict of named numpy arrays, or None")
        for name, array in tensors.items():
            if not isinstance(array, np.ndarray):
                broken(f"{name!r} is a {type(array).__name__}", title, "make each tensor a numpy array")
            demand(array.dtype.kind in "biufSU", f"{name!r} holds {array.dtype}", title, "use plain numbers")
        if self.manifest.model is not None:
            try:
                check_inputs(self.manifest.name, self.manifest.model, tensors)
            except Permanent as error:
                broken(str(error), title, "convert and reshape in prepare: [n, …], n = 1 for a still")
        return tensors

    def is_declared(self, feature: object, title: str) -> None:
        """A feature of the declared schema, sound in itself and for the space of its schema."""
        if not isinstance(feature, Feature):
            broken(f"a {type(feature).__name__} came out, no Feature", title, "return Feature.of(schema, array)")
        declared = self.manifest.schema
        demand(
            feature.schema == declared,
            f"the feature's schema is {feature.schema!r}; the manifest declares {declared!r}",
            title,
            "give Feature.of the schema of the manifest",
        )
        try:
            array = feature.array()
        except (ValueError, TypeError) as error:
            broken(f"the bytes do not fit {feature.dtype}{list(feature.shape)}: {error}", title, "use Feature.of")
        demand(array.dtype.kind in "biuf", f"the feature holds {feature.dtype}", title, "features are plain numbers")
        if self.manifest.space or declared in ("vector", "timed-vectors"):
            self._is_embedding(array, title)

    def _is_embedding(self, array: NDArray[Any], title: str) -> None:
        finite = bool(np.isfinite(array).all())
        bad = int(array.size - np.isfinite(array).sum())
        demand(
            finite,
            f"the embedding is not finite: {bad} of {array.size} numbers are NaN or infinite",
            title,
            "look for a division by zero, as in the norm of an all-zero vector; return None or raise Permanent instead",
        )
        timed = self.manifest.schema == "timed-vectors"
        if self.manifest.schema not in ("vector", "timed-vectors"):
            return
        demand(
            array.size, "the embedding has no numbers", title, "return None from prepare when there is nothing to say"
        )
        form = "float32 [n, 1 + d], n > 0" if timed else "float32 [d]"
        demand(
            array.dtype == np.float32 and array.ndim == (2 if timed else 1),
            f"the embedding is {array.dtype}{list(array.shape)}; the schema {self.manifest.schema!r} is {form}",
            title,
            f"return {form}, C order",
        )
        rows = array[:, 1:] if timed else array[None]
        lengths = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
        scalar = "return the whole vector: this is one number of it; rows of prepare have a leading batch axis"
        demand(
            bool((abs(lengths - 1) <= _UNIT).all()),
            f"the embedding's length is {lengths.min():.3f} to {lengths.max():.3f}, not 1; the index refuses it",
            title,
            scalar if rows.shape[1] == 1 else "divide by the norm, after making sure that it is not zero",
        )


def fresh(media: Media) -> Media:
    """A copy whose arrays nobody else has."""
    copies = {name: array.copy() for name, array in arrays_of(media).items()}
    return type(media)(**{name: copies.get(name, getattr(media, name)) for name in media.__struct_fields__})


def arrays_of(media: Media) -> Arrays:
    """The medium's arrays by field, not copied."""
    fields = {name: getattr(media, name) for name in getattr(media, "__struct_fields__", ())}
    return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}


def same(first: Arrays | None, second: Arrays | None) -> str:
    """Why two sets of arrays differ, "" when they do not (not-a-number equals itself)."""
    if first is None or second is None:
        return "" if first is second else "one time there are tensors, the other time None"
    if first.keys() != second.keys():
        return f"one time {sorted(first)}, the other time {sorted(second)}"
    for name, one in first.items():
        other = second[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            return f"{name!r} is {one.dtype}{list(one.shape)}, then {other.dtype}{list(other.shape)}"
        if not np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"):
            return f"{name!r} differs in {int((one != other).sum())} of {one.size} values"
    return ""


def refusal(error: Rejected) -> None:
    """A rejection has its stable code and a sentence for people."""
    demand(error.code, "Rejected was raised without a code", change='raise Rejected("empty_image", "the picture …")')
    demand(error.sentence, "Rejected was raised without a sentence", change="say what was wrong with the medium")
