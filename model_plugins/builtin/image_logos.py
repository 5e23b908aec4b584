"""`image-logos@1`: which logos of a bank are in a picture, and where. By local features, no model."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import json_feature, logos
from model_plugins.features.json_plugin import JsonPlugin
from model_plugins.protocol import Example, ImageMedia, Manifest

SHIPPED_BANK: Final = Path(str(files("model_plugins.features") / "data" / "logos"))
BANK_VARIABLE: Final = "SOSIE_LOGO_BANK"


class ImageLogos(JsonPlugin):
    """Image -> schema `logos`: {"logos": [{"name", "score", "corners": [[x, y] x 4]}]}, best first; may be empty.

    `name`: the logo's file in the bank, without suffix; each at most once. `score`: 0.6..1, how well the pixels agree.
    `corners`: of the logo's square in pixels of the file, clockwise from its own upper left. About 0.1 s of one core.

    Args:
        bank: folder of pictures, one logo each; default `$SOSIE_LOGO_BANK`, else 32 logos out of simple-icons.

    Raises:
        UsageError: the folder holds no logos.
    """

    manifest = Manifest(
        name="image-logos",
        version=1,
        media="image",
        schema="logos",
        min_side=480,
        summary="logos of a bank of pictures, with their places (SIFT, geometry, correlation)",
    )

    def __init__(self, bank: Path | None = None) -> None:
        given = os.environ.get(BANK_VARIABLE)
        self._folder = bank or (Path(given) if given else SHIPPED_BANK)
        logos.check_bank(self._folder)

    def describe(self, media: Any) -> Any | None:
        """Never None: an empty list says that it was looked for."""
        longer = max(media.width, media.height)
        rows = []
        for found in logos.find(media.rgb, logos.read_bank(self._folder)):
            corners = np.rint(found.corners * longer).astype(int).tolist()
            rows.append({"name": found.name, "score": round(found.score, 4), "corners": corners})
        return {"logos": rows}

    def examples(self) -> list[Example]:
        """A scene with a logo of the shipped bank on a patch, and a scene without."""
        scene = gradient_scene(240, 320, seed=5)
        raw: Any = cv2.imread(str(SHIPPED_BANK / "docker.png"), cv2.IMREAD_GRAYSCALE)
        marked = scene.copy()
        marked[16:224, 56:264] = 255
        marked[24:216, 64:256] = np.asarray(raw, np.uint8)[..., None]
        return [
            Example("a scene with a logo", ImageMedia(marked, width=320, height=240), _shows_docker),
            Example("a scene without", ImageMedia(scene, width=320, height=240)),
        ]


def _shows_docker(feature: Feature) -> bool:
    return [row["name"] for row in json_feature.unpack(feature)["logos"]] == ["docker"]
