"""The light understanding plug-ins keep the promises of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from materials.errors import UsageError
from model_plugins.builtin.image_logos import ImageLogos
from model_plugins.builtin.image_smart_crop import ImageSmartCrop
from model_plugins.builtin.text_category import TextCategory
from model_plugins.builtin.text_language import TextLanguage
from model_plugins.builtin.text_timeliness import TextTimeliness
from model_plugins.builtin.text_words import TextWords
from model_plugins.builtin.video_category import VideoCategory
from model_plugins.builtin.video_tags import VideoTags
from model_plugins.conformance import PluginConformance
from model_plugins.features import json_feature
from model_plugins.protocol import Fuses, Plugin, TextMedia


class TestImageLogos(PluginConformance):
    plugin = ImageLogos()


class TestImageSmartCrop(PluginConformance):
    plugin = ImageSmartCrop()


class TestTextCategory(PluginConformance):
    plugin = TextCategory()


class TestTextLanguage(PluginConformance):
    plugin = TextLanguage()


class TestTextTimeliness(PluginConformance):
    plugin = TextTimeliness()


class TestTextWords(PluginConformance):
    plugin = TextWords()


class TestVideoTags(PluginConformance):
    plugin = VideoTags()


class TestVideoCategory(PluginConformance):
    plugin = VideoCategory()


def test_a_bank_without_logos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no logos"):
        ImageLogos(tmp_path)


EVERY = (ImageLogos, ImageSmartCrop, TextCategory, TextLanguage, TextTimeliness, TextWords, VideoCategory, VideoTags)
DOCUMENTED = (Path(__file__).parents[3] / "docs" / "features.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("plugin", [kind() for kind in EVERY], ids=lambda plugin: plugin.manifest.name)
def test_the_schema_is_documented_with_every_key(plugin: Plugin) -> None:
    manifest = plugin.manifest
    [row] = [line for line in DOCUMENTED.splitlines() if line.startswith(f"| `{manifest.schema}`") and
             f"| `{manifest.name}` |" in line]  # fmt: skip
    keys: set[str] = set()
    for example in plugin.examples():
        if isinstance(plugin, Fuses):
            text = example.media.text if isinstance(example.media, TextMedia) else ""
            feature = plugin.fuse(example.features, text)
        elif manifest.model is None and (tensors := plugin.prepare(example.media)) is not None:
            feature = plugin.interpret(tensors)
        else:
            feature = None
        keys |= keys_of(json_feature.unpack(feature)) if feature is not None else set()
    assert keys or manifest.model is not None
    assert not [key for key in keys if key not in row]


def keys_of(value: Any) -> set[str]:
    """Of all objects in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()
