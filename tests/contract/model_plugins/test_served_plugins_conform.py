"""The plug-ins that call served models: each passes the authors' suite, and expects what the catalogue serves."""

from __future__ import annotations

import pytest

from deploy.model_server.catalogue import ALL
from model_plugins.builtin.image_embedding import ImageEmbedding
from model_plugins.builtin.image_faces import ImageFaces
from model_plugins.builtin.image_ocr import ImageOcr
from model_plugins.builtin.image_tags import ImageTags
from model_plugins.builtin.video_sound_events import VideoSoundEvents
from model_plugins.builtin.video_speech import VideoSpeech
from model_plugins.conformance import PluginConformance
from model_plugins.protocol import Plugin


class TestImageTags(PluginConformance):
    plugin = ImageTags()
    outputs = ImageTags.model_outputs


class TestImageFaces(PluginConformance):
    plugin = ImageFaces()
    outputs = ImageFaces.model_outputs


class TestImageOcr(PluginConformance):
    plugin = ImageOcr()
    outputs = ImageOcr.model_outputs


class TestVideoSpeech(PluginConformance):
    plugin = VideoSpeech()
    outputs = VideoSpeech.model_outputs


class TestVideoSoundEvents(PluginConformance):
    plugin = VideoSoundEvents()
    outputs = VideoSoundEvents.model_outputs


@pytest.mark.parametrize("make", [ImageTags, ImageFaces, ImageOcr, VideoSpeech, VideoSoundEvents, ImageEmbedding])
def test_models_are_served_as_the_plugins_call_them(make: type[Plugin]) -> None:
    model = make().manifest.model
    assert model is not None
    [served] = [each for each in ALL if each.name == model.name]
    assert served.inputs == model.inputs
    assert tuple(served.outputs) == model.outputs
    assert served.max_batch >= model.max_batch
    outputs = getattr(make, "model_outputs", None)
    assert outputs is None or outputs == served.outputs
