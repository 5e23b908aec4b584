"""What plug-ins share whose feature is JSON and who need no model: they only say what they see."""

from __future__ import annotations

import importlib.util
import re
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected, UsageError
from materials.records import Feature
from model_plugins.features import json_feature
from model_plugins.protocol import Example, ImageMedia, Manifest, Tensors, TextMedia

_OUTPUT = "json"
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonPlugin(ABC):
    """`describe` gives the value; this packs it under the manifest's schema.

    `prepare` hands the JSON's bytes on as uint8 [1, n], so that values cross the border of the media child as arrays.
    """

    manifest: Manifest

    @abstractmethod
    def describe(self, media: Any) -> Any | None:
        """Medium -> a JSON-able value; None: nothing to say."""

    @abstractmethod
    def examples(self) -> list[Example]:
        """At least one."""

    def prepare(self, media: Any) -> dict[str, NDArray[Any]] | None:
        """`json`: uint8 [1, n]; None where there is nothing to describe (a blank text).

        Raises:
            Rejected: the picture has no pixels.
            TypeError: a medium of another kind than the manifest's.
        """
        expected = {"image": ImageMedia, "text": TextMedia}[self.manifest.media]
        if not isinstance(media, expected):
            raise TypeError(f"{self.manifest.name} takes {expected.__name__}, not {type(media).__name__}")
        if isinstance(media, ImageMedia) and media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        if isinstance(media, TextMedia) and not media.text.strip():
            return None
        if isinstance(media, TextMedia):
            media = TextMedia(_SURROGATE.sub("\ufffd", media.text))  # half a pair: no UTF-8 holds it
        value = self.describe(media)
        return None if value is None else {_OUTPUT: json_feature.as_array(value)[np.newaxis]}

    def interpret(self, outputs: Tensors) -> Feature:
        """`json` as `prepare` gave it -> the feature.

        Raises:
            Permanent: another shape, or no JSON.
        """
        rows = np.asarray(outputs[_OUTPUT])
        if rows.ndim != 2 or rows.shape[0] != 1 or rows.dtype != np.uint8:
            raise Permanent(f"{self.manifest.name}: JSON bytes are uint8 [1, n], not {rows.dtype} {rows.shape}")
        feature = Feature.of(self.manifest.schema, rows[0])
        json_feature.unpack(feature)
        return feature


def require(plugin: str, module: str) -> None:
    """Make sure that a plug-in's library is there, when the plug-in is loaded and not at its first material.

    Raises:
        UsageError: with the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"plug-in {plugin!r} needs {module}, which is not installed", "pip install 'sosie[understanding]'"
        )
