"""`image-smart-crop@1`: where to cut a picture to 1:1, 4:3 and 16:9 so that its subject stays in."""

from __future__ import annotations

from typing import Any, Final

from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import smart_crop
from model_plugins.features.json_plugin import JsonPlugin
from model_plugins.protocol import Example, ImageMedia, Manifest

RATIOS: Final = {"1:1": 1.0, "4:3": 4 / 3, "16:9": 16 / 9}


class ImageSmartCrop(JsonPlugin):
    """Image -> schema `crops`: {"width", "height", "crops": [{"ratio", "x", "y", "width", "height", "score"}]}.

    Pixels of the file, upright; one window of each of the ratios 1:1, 4:3 and 16:9, the largest that fits. `score`
    is the share (0..1) of what stands out in the picture that the window keeps. No model: about 3 ms of one core.
    """

    manifest = Manifest(
        name="image-smart-crop",
        version=1,
        media="image",
        schema="crops",
        min_side=smart_crop.WORKING_SIDE,
        summary="windows for 1:1, 4:3 and 16:9 that keep the subject (saliency, skin, colour)",
    )

    def describe(self, media: Any) -> Any | None:
        """Never None."""
        energy = smart_crop.energy(media.rgb)
        crops = []
        for name, ratio in RATIOS.items():
            found = smart_crop.crop(energy, media.height, media.width, ratio)
            window = {"x": found.x, "y": found.y, "width": found.width, "height": found.height}
            crops.append({"ratio": name, **window, "score": round(found.score, 4)})
        return {"width": media.width, "height": media.height, "crops": crops}

    def examples(self) -> list[Example]:
        """Upright, wide, and a picture that the decoder made smaller than its file."""
        return [
            Example("upright", ImageMedia(gradient_scene(480, 360, seed=5), width=360, height=480)),
            Example("wide", ImageMedia(gradient_scene(180, 480, seed=6), width=480, height=180)),
            Example("reduced by the decoder", ImageMedia(gradient_scene(300, 400, seed=7), width=1600, height=1200)),
        ]
