"""Plug-ins that misbehave on request; the first pixel says how. Loaded by dotted path, in the real decode child."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from model_plugins.protocol import Example, ImageMedia, Manifest, Tensors

INNOCENT, CRASH, HANG, EAT_MEMORY, RAISE, WAIT_ONCE, NOTHING = 0, 40, 80, 120, 160, 200, 240
FOLDER = Path(__file__).parent


class Probe:
    """Returns the mean colour, unless told otherwise by the picture."""

    manifest = Manifest(name="probe", version=1, media="image", schema="vector")

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        mood = int(media.rgb[0, 0, 0])
        if mood == CRASH:
            ctypes.string_at(0)
        if mood == HANG:
            ctypes.CDLL(None).pause()
        if mood == EAT_MEMORY:
            hoard = []
            while True:
                hoard.append(np.zeros(256 * 1024**2, np.uint8))
        if mood == RAISE:
            raise KeyError("the plug-in's own fault")
        if mood == WAIT_ONCE:
            # two FIFOs in the folder that TMPDIR names: says that it has begun, then waits to be killed or let go
            folder = Path(os.environ["TMPDIR"])
            (folder / "begun").write_text(str(os.getpid()))
            (folder / "go").read_text()
        if mood == NOTHING:
            return None
        return {"mean": media.rgb.reshape(-1, 3).mean(axis=0)[None], "environment": np.array(sorted(os.environ), "S40")}

    def interpret(self, outputs: Tensors) -> Feature:
        return Feature.of("vector", outputs["mean"])

    def examples(self) -> list[Example]:
        return [Example("grey", ImageMedia(np.full((4, 4, 3), 0, np.uint8), 4, 4))]


class Broken(Probe):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no such weights")
