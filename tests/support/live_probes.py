"""Third-party plug-ins for a job that runs: they are registered, replaced and dropped under it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from model_plugins.protocol import Example, Manifest, Tensors, TextMedia


class Length:
    """How long a text is."""

    manifest = Manifest(name="length", version=1, media="text", schema="length", summary="characters")

    def prepare(self, media: TextMedia) -> dict[str, NDArray[Any]] | None:
        return {"n": np.array([len(media.text)])}

    def interpret(self, outputs: Tensors) -> Feature:
        return Feature.of("length", outputs["n"])

    def examples(self) -> list[Example]:
        return [Example("three letters", TextMedia("abc"))]


class Doubled(Length):
    """The next version."""

    manifest = Manifest(name="length", version=2, media="text", schema="length", summary="characters, twice")

    def prepare(self, media: TextMedia) -> dict[str, NDArray[Any]] | None:
        return {"n": np.array([2 * len(media.text)])}


class Other(Length):
    """Under another name."""

    manifest = Manifest(name="other", version=1, media="text", schema="length", summary="characters")


class Looping(Length):
    """Never comes back."""

    manifest = Manifest(name="looping", version=1, media="text", schema="length", summary="none")

    def prepare(self, media: TextMedia) -> dict[str, NDArray[Any]] | None:
        while True:
            pass


class Broken(Length):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no such weights")
