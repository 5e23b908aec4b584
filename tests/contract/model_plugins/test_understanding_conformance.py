"""The light understanding plug-ins keep the promises of the protocol."""

from __future__ import annotations

from pathlib import Path

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
