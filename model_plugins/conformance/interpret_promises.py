"""Promises about `interpret` and the feature: declared, alone in its batch, sound for any answer of a model."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from materials.errors import Permanent
from model_plugins.conformance.base import Suite
from model_plugins.conformance.odd_media import odd
from model_plugins.conformance.prepare_promises import FITS
from model_plugins.conformance.promises import DoesNotApply, broken, demand, described, promise
from model_plugins.conformance.stand_in import filled
from model_plugins.protocol import Example, Fuses

DECLARED = "test_interpret_gives_the_declared_feature"


class InterpretPromises(Suite):
    """With a model, a stand-in answers: rows of unit norm in the stated form."""

    @promise(
        "interpret gives a feature of the declared schema; an embedding is finite, float32 and of length 1",
        see="Model outputs (rows in the order of `prepare`'s) and the extra arrays of `prepare` -> the feature.",
        change="return Feature.of(schema, array)",
        needs=(FITS, "test_model_is_sound"),
    )
    def test_interpret_gives_the_declared_feature(self) -> None:
        self.needs_prepare()
        for example in self.examples():
            tensors = self.prepare(example)
            if tensors is not None:
                self.is_declared(self.interpret(self.answer(tensors), example.title), example.title)

    @promise(
        "interpret gives the same feature for the same outputs, in every instance",
        see="What a plug-in is: a manifest and two pure functions.",
        change="seed what is random, and keep nothing between calls",
        needs=(DECLARED,),
    )
    def test_interpret_is_deterministic(self) -> None:
        self.needs_prepare()
        for example in self.examples():
            tensors = self.prepare(example)
            if tensors is None:
                continue
            first, second = (self.interpret(self.answer(tensors), example.title, self.another()) for _ in "ab")
            demand(first == second, "two new instances make different features of the same outputs", example.title)

    @promise(
        "batch equals one by one: a feature depends neither on its company in a batch nor on what came before",
        see="forms batches and calls it.",
        change="read only the rows that interpret was given, and keep nothing in the instance",
        needs=("test_interpret_is_deterministic",),
    )
    def test_rows_of_a_batch_are_their_own(self) -> None:
        self.needs_prepare()
        prepared = [(example.title, self.prepare(example)) for example in self.examples()]
        every = [(title, tensors) for title, tensors in prepared if tensors is not None]
        alone = [self.interpret(self.answer(tensors), title, self.another()) for title, tensors in every]
        # twice over, so that there is company and a history even for one example
        answers = self.answers([tensors for _, tensors in every] * 2)
        plugin = self.another()
        batched = [self.interpret(answers[n], every[n % len(every)][0], plugin) for n in reversed(range(len(answers)))]
        for number, feature in enumerate(reversed(batched)):
            demand(
                feature == alone[number % len(every)],
                "interpreted in a batch, the feature is another than alone",
                every[number % len(every)][0],
            )

    @promise(
        "all embeddings have one number of dimensions, whatever the medium: they share a space",
        see="is an embedding that recall searches.",
        change="make the length depend on constants alone; look at the largest and the smallest values of a medium",
        needs=(DECLARED, "test_odd_media_are_handled"),
    )
    def test_embeddings_share_one_space(self) -> None:
        self.needs_prepare()
        if self.manifest.schema not in ("vector", "timed-vectors"):
            raise DoesNotApply("its feature is no embedding")
        strange = [Example(*each) for each in odd(self.manifest.media, self.manifest.hears)]
        first: tuple[int, str] | None = None
        for example in [*self.examples(), *strange]:
            with suppress(Permanent):  # a refusal; the promises about odd media have judged it
                feature = self.feature_of(example)
                if feature is None:
                    continue
                first = first or (feature.shape[-1], example.title)
                said = f"it has {feature.shape[-1]} dimensions, and that of {first[1]!r} has {first[0]}"
                demand(feature.shape[-1] == first[0], said, example.title)

    @promise(
        "whatever a model answers (zeros, not-a-numbers), interpret gives a sound feature or raises Permanent",
        see="Model outputs (rows in the order of `prepare`'s) and the extra arrays of `prepare` -> the feature.",
        change="check the outputs first, and raise materials.errors.Permanent with what is wrong with them",
        needs=(DECLARED,),
    )
    def test_interpret_survives_any_outputs(self) -> None:
        self.needs_prepare()
        self.needs_model()
        for example in self.examples():
            tensors = self.prepare(example)
            if tensors is None:
                continue
            for value in (0.0, np.nan, np.inf):
                title = f"{example.title}, outputs all {value:g}"
                try:
                    feature = self.interpret(filled(self.answer(tensors), self.stated_outputs, value), title)
                except Permanent as error:
                    demand(str(error), "Permanent was raised without a message", title)
                except Exception as error:
                    broken(f"interpret raised {described(error)}", title)
                else:
                    self.is_declared(feature, title)

    @promise(
        "what an example expects of its feature is true",
        see="`expect`: feature -> whether it is as the title says",
        change="correct the plug-in, or the example",
        needs=(DECLARED, "test_fuse_gives_the_declared_feature"),
    )
    def test_examples_are_true(self) -> None:
        expecting = [example for example in self.examples() if example.expect is not None]
        if not expecting:
            raise DoesNotApply("no example expects anything")
        for example in expecting:
            assert example.expect is not None  # noqa: S101 - chosen above
            feature = self.feature_of(example)
            if feature is None:
                broken("there is no feature, though one is expected", example.title)
            try:
                kept = self.call("expect", example.title, example.expect, feature)
            except Exception as error:
                broken(f"expect raised {described(error)}", example.title)
            numbers = np.array2string(feature.array().ravel()[:8], precision=4, separator=", ")
            demand(kept, f"expect says no to {feature.dtype}{list(feature.shape)} {numbers}", example.title)

    @promise(
        "fuse gives the declared feature, or None, for each example and when any of its needs is absent",
        see="job does not compute, or what failed, is absent.",
        change="use features.get(name), and return None where too little is there",
        needs=(
            "test_has_examples",
            "test_capabilities_are_sound",
            "test_calls_come_back",
            "test_calls_keep_their_time",
        ),
    )
    def test_fuse_gives_the_declared_feature(self) -> None:
        if not isinstance(self.plugin, Fuses):
            raise DoesNotApply("it does not fuse")
        gave = False
        for example in self.examples():
            feature = self.fuse(example)
            gave = gave or feature is not None
            demand(feature == self.fuse(example), "called again, fuse gives another feature", example.title)
            fewer = [{k: v for k, v in example.features.items() if k != gone} for gone in example.features]
            for given in (dict(example.features), *fewer, {}):
                title = f"{example.title}, with {', '.join(given) or 'no feature at all'}"
                try:
                    found = self.fuse(example, given)
                except Permanent as error:
                    demand(str(error), "Permanent was raised without a message", title)
                except Exception as error:
                    broken(f"fuse raised {described(error)}", title)
                else:
                    if found is not None:
                        self.is_declared(found, title)
        demand(gave, "fuse gives None for every example")
