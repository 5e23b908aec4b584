"""Promises about what the platform reads before it runs a plug-in: the manifest, the model, the examples."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

from materials.errors import Permanent
from model_plugins.conformance.base import Suite
from model_plugins.conformance.promises import DoesNotApply, broken, demand, promise
from model_plugins.protocol import (
    ANY,
    MEDIA_KINDS,
    DecodesOnServer,
    Example,
    Fuses,
    ImageMedia,
    Manifest,
    Plugin,
    TextMedia,
    VideoMedia,
)
from model_plugins.registry import GROUP
from model_plugins.transports.kserve import numpy_dtype

MEDIA_TYPES: dict[str, type] = {"image": ImageMedia, "video": VideoMedia, "text": TextMedia}
FIELDS: dict[str, type] = {"name": str, "version": int, "schema": str, "min_side": int, "summary": str}
A_KIND = {str: "a text", int: "a whole number"}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME = 128


class ManifestPromises(Suite):
    """Judged without running `prepare` or `interpret`."""

    @promise(
        "the class is made without arguments and has manifest, prepare, interpret and examples",
        see="The protocol. Instances are cheap",
        change="add what is missing; `sosie plugin new` writes a class that has everything",
    )
    def test_is_a_plugin(self) -> None:
        missing = [name for name in ("manifest", "prepare", "interpret", "examples") if not hasattr(self.plugin, name)]
        demand(not missing, f"{type(self.plugin).__name__} has no {', '.join(missing)}")
        demand(isinstance(self.plugin, Plugin), f"{type(self.plugin).__name__} does not fulfil the protocol")
        found = type(self.plugin.manifest)
        demand(found is Manifest, f"manifest is a {found.__name__}", change="make it a protocol.Manifest")

    @promise(
        "name, version, medium, schema and summary of the manifest are well formed",
        see="What the platform knows of a plug-in before it runs it.",
        change="put it right in the manifest",
        needs=("test_is_a_plugin",),
    )
    def test_manifest_is_sound(self) -> None:
        manifest = self.manifest
        for field, kind in FIELDS.items():
            value = getattr(manifest, field)
            demand(type(value) is kind, f"{field} is {value!r}", change=f"a manifest's {field} is {A_KIND[kind]}")
        demand(
            NAME.fullmatch(manifest.name) and len(manifest.name) <= MAX_NAME,
            f"the name is {manifest.name!r}",
            change="use small letters, digits and hyphens, a letter first",
        )
        demand(manifest.version >= 1, f"the version is {manifest.version}", change="versions start at 1")
        demand(manifest.media in MEDIA_KINDS, f"media is {manifest.media!r}", change=f"one of {', '.join(MEDIA_KINDS)}")
        demand(manifest.schema, "schema is empty", change="give the form of the feature a name")
        demand(manifest.min_side >= 0, f"min_side is {manifest.min_side}", change="pixels; 0 for any")
        demand(manifest.summary, "summary is empty", change="say in one line what the feature is")

    @promise(
        "no other plug-in has its name",
        see="`name@version`: the key of its features and the name of its space.",
        change="rename it, in the manifest and in the entry point; names of plug-ins that come with sosie are taken",
        needs=("test_is_a_plugin",),
    )
    def test_name_is_its_own(self) -> None:
        path = f"{type(self.plugin).__module__}:{type(self.plugin).__qualname__}"
        taken = [point.value for point in entry_points(group=GROUP) if point.name == self.manifest.name]
        others = sorted({value for value in taken if value != path})
        demand(not others, f"{self.manifest.name!r} is the name of {' and of '.join(others)}, too")
        asked = self.entry_name or self.manifest.name
        demand(
            asked == self.manifest.name,
            f"the entry point calls it {asked!r}, the manifest {self.manifest.name!r}",
            change="give both the same name",
        )

    @promise(
        "the manifest of every instance is the same, each time",
        see="Constant for a class.",
        change="make it a class attribute",
        needs=("test_is_a_plugin",),
    )
    def test_manifest_is_constant(self) -> None:
        first, again, other = self.plugin.manifest, self.plugin.manifest, self.another().manifest
        demand(first == again, f"read twice it is {first!r}, then {again!r}")
        demand(first == other, f"another instance has {other!r}, not {first!r}")

    @promise(
        "the model has a name, inputs and outputs of known types, and the form of its outputs is stated",
        see="The model that a plug-in calls: a service name in discovery",
        change="state `model_outputs` in the plug-in, or `outputs` in the test class: name -> (dtype, shape of a row)",
        needs=("test_is_a_plugin",),
    )
    def test_model_is_sound(self) -> None:
        model, stated = self.manifest.model, self.stated_outputs
        if model is None:
            demand(
                not stated, "outputs are stated, but the manifest names no model", change="name it, or leave them out"
            )
            raise DoesNotApply("it names no model")
        demand(model.name, "the model has no name", change="give the one under which it announces itself")
        demand(model.inputs, f"model {model.name!r} has no input", change="name -> (dtype, shape of a row)")
        demand(model.outputs, f"model {model.name!r} has no output", change="name those that interpret reads")
        demand(model.max_batch >= 1, f"max_batch is {model.max_batch}", change="at least 1")
        for name, (dtype, shape) in {**model.inputs, **stated}.items():
            try:
                numpy_dtype(dtype)
            except Permanent as error:
                broken(f"{name!r}: {error}", change="use a type of fixed size")
            sound = all(isinstance(size, int) and (size == ANY or size > 0) for size in shape)
            demand(sound, f"{name!r} has the shape {shape}", change="positive sizes, or ANY; without the batch axis")
        demand(
            set(stated) == set(model.outputs),
            f"the model's outputs are {sorted(model.outputs)}; the form is stated of {sorted(stated) or 'none'}: "
            "state `outputs` or `model_outputs` for each",
        )

    @promise(
        "capabilities are declared in a way that the platform can use",
        see="Capability: the feature is made of other plug-ins' features of the same material",
        change="see the capability in the protocol",
        needs=("test_is_a_plugin",),
    )
    def test_capabilities_are_sound(self) -> None:
        manifest = self.manifest
        if manifest.hears:
            demand(manifest.media == "video", f"it hears, but takes {manifest.media}", change="only videos have sound")
        if isinstance(self.plugin, Fuses):
            needs = self.plugin.needs
            named = isinstance(needs, tuple) and needs and all(isinstance(n, str) and NAME.fullmatch(n) for n in needs)
            demand(named, f"needs is {needs!r}", change="a tuple of plug-in names, without versions")
            demand(manifest.name not in needs, "it needs its own feature", change="take its own name out of needs")
            demand(manifest.model is None, "it fuses and names a model, which would never be called")
        if isinstance(self.plugin, DecodesOnServer):
            demand(manifest.media != "text", "a text has no file to decode", change="leave prepare_encoded out")
            demand(manifest.model, "it decodes on the server, but names no model", change="name the model that decodes")

    @promise(
        "there is at least one example, each with a title and a medium of the plug-in's kind",
        see="A medium and what must be true of its feature; examples are tests and documentation.",
        change="return [Example(title, media)] from examples()",
        needs=("test_is_a_plugin", "test_manifest_is_sound", "test_capabilities_are_sound"),
    )
    def test_has_examples(self) -> None:
        examples = self.examples()
        demand(examples, "examples() is empty")
        fuses = isinstance(self.plugin, Fuses)
        expected = MEDIA_TYPES[self.manifest.media]
        for number, example in enumerate(examples, start=1):
            demand(isinstance(example, Example), f"example {number} is a {type(example).__name__}")
            demand(example.title, f"example {number} has no title")
            found = type(example.media).__name__
            fits = isinstance(example.media, expected) or (fuses and isinstance(example.media, TextMedia))
            demand(fits, f"its medium is a {found}, not {expected.__name__}", example.title)
        if fuses:
            names = {name for example in examples for name in example.features}
            demand(
                names, "no example has features to fuse", change="give Example the others' features, by plug-in name"
            )
            strange = names - set(self.plugin.needs)
            demand(not strange, f"examples have features of {sorted(strange)}, which are not in needs")
        if self.manifest.hears:
            heard = [e for e in examples if isinstance(e.media, VideoMedia) and e.media.sound is not None]
            demand(heard, "it hears, but no example has sound", change="give one example a sound track")
