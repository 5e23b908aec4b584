"""Promises about `prepare`: a pure function of the medium, whatever strangers post."""

from __future__ import annotations

from materials.errors import Permanent, Rejected
from model_plugins.conformance.base import Suite, arrays_of, fresh, refusal, same
from model_plugins.conformance.odd_media import empty, odd
from model_plugins.conformance.promises import broken, demand, described, promise
from model_plugins.conformance.stand_in import Arrays
from model_plugins.protocol import Example, Media

RUNS = "test_prepare_takes_the_examples"
FITS = "test_prepared_tensors_fit_the_model"


class PreparePromises(Suite):
    """A plug-in that fuses makes none of these."""

    @promise(
        "prepare takes every example, and gives tensors for at least one",
        see="Media -> named tensors, each with a leading batch axis of n rows",
        change="handle this medium, or raise materials.errors.Rejected and leave the example out",
        needs=(
            "test_has_examples",
            "test_calls_come_back",
            "test_calls_keep_their_time",
            "test_calls_keep_their_memory",
        ),
    )
    def test_prepare_takes_the_examples(self) -> None:
        self.needs_prepare()
        given = [self.prepare(example) for example in self.examples()]
        demand(any(tensors is not None for tensors in given), "prepare gives None for every example")

    @promise(
        "prepare gives numpy arrays with a leading batch axis, of the dtypes and shapes of the model's inputs",
        see="Media -> named tensors, each with a leading batch axis of n rows",
        change="convert and reshape in prepare",
        needs=(RUNS, "test_model_is_sound"),
    )
    def test_prepared_tensors_fit_the_model(self) -> None:
        self.needs_prepare()
        for example in self.examples():
            tensors = self.prepare(example)
            if tensors is not None:
                self.is_prepared(tensors, example.title)

    @promise(
        "prepare gives the same tensors for the same medium, on every call and in every instance",
        see="What a plug-in is: a manifest and two pure functions.",
        change="seed what is random, keep nothing between calls, and never use hash() of a text (it is salted)",
        needs=(FITS,),
    )
    def test_prepare_is_deterministic(self) -> None:
        self.needs_prepare()
        for example in self.examples():
            first = self.prepare(example)
            for plugin in (self.plugin, self.another()):
                difference = same(first, self.prepare(example, plugin))
                demand(not difference, f"called again, prepare gives other tensors: {difference}", example.title)

    @promise(
        "prepare does not write into the medium, which other plug-ins read after it",
        see="A plug-in turns media into named tensors (`prepare`)",
        change="copy before you write: `rgb = media.rgb.copy()`",
        needs=(RUNS,),
    )
    def test_prepare_leaves_the_medium_alone(self) -> None:
        self.needs_prepare()
        for example in self.examples():
            media = fresh(example.media)
            self.call("prepare", example.title, self.plugin.prepare, media)
            difference = same(arrays_of(example.media), arrays_of(media))
            demand(not difference, f"after prepare the medium is another: {difference}", example.title)

    @promise(
        "prepare takes media whose arrays are read-only",
        see="A plug-in turns media into named tensors (`prepare`)",
        change="copy before you write, even where you write the same values: `rgb = media.rgb.copy()`",
        needs=(RUNS, "test_prepare_leaves_the_medium_alone"),
    )
    def test_prepare_takes_read_only_media(self) -> None:
        self.needs_prepare()
        for example in self.examples():
            media = fresh(example.media)
            for array in arrays_of(media).values():
                array.flags.writeable = False
            self.call("prepare", example.title, self.plugin.prepare, media)

    @promise(
        "an empty medium is passed over (None) or refused (Rejected)",
        see="Returns None when the medium has nothing for this plug-in (an empty text)",
        change="look at the size first: `if media.rgb.size == 0: return None`, likewise for frames and text",
        needs=(FITS,),
    )
    def test_an_empty_medium_is_refused_or_passed_over(self) -> None:
        self.needs_prepare()
        title = "an empty medium"
        try:
            tensors = self.prepare(Example(title, empty(self.manifest.media)))
        except Rejected as error:
            refusal(error)
        except Exception as error:
            broken(f"prepare raised {described(error)}", title)
        else:
            demand(tensors is None, "prepare gave tensors", title)

    @promise(
        "odd media (one pixel, one row of 5000, black, noise, control characters) give a sound feature or a refusal",
        see="materials.errors.Rejected: the medium cannot be used, with the reason.",
        change="handle this medium, return None, or raise Rejected with a code and a sentence",
        needs=(FITS, "test_interpret_gives_the_declared_feature"),
    )
    def test_odd_media_are_handled(self) -> None:
        self.needs_prepare()
        for title, media in odd(self.manifest.media, self.manifest.hears):
            tensors = self._prepared_or_refused(title, media)
            if tensors is None:
                continue
            self.is_prepared(tensors, title)
            try:
                feature = self.interpret(self.answer(tensors), title)
            except Permanent as error:
                demand(str(error), "interpret raised Permanent without a message", title)
            except Exception as error:
                broken(f"interpret raised {described(error)}", title)
            else:
                self.is_declared(feature, title)

    def _prepared_or_refused(self, title: str, media: Media) -> Arrays | None:
        try:
            return self.prepare(Example(title, media))
        except Rejected as error:
            refusal(error)
            return None
        except Exception as error:
            broken(f"prepare raised {described(error)}", title)
