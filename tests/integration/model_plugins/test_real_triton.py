"""Plug-ins, runtime, discovery and announcer against the local stack's real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from model_servers import wait_until
from sosie_system import System

from deploy.addresses import Addresses
from materials.errors import Permanent
from materials.records import Features
from model_plugins.builtin.image_embedding import MODEL, ImageEmbedding
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.builtin.video_embedding import VideoEmbedding
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.readiness import ServerProbe
from model_plugins.protocol import ImageMedia, ModelRef, VideoMedia
from model_plugins.runtime import PluginRuntime

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def addresses(system: System) -> Addresses:
    return system.addresses


@pytest.fixture
def directory(addresses: Addresses) -> Iterator[EndpointDirectory]:
    made = EndpointDirectory(addresses.zookeeper)
    yield made
    made.close()


def test_what_is_announced_is_what_the_plugin_expects(addresses: Addresses, directory: EndpointDirectory) -> None:
    [endpoint] = directory.wait_for(MODEL.name, 20)
    assert endpoint.address == addresses.triton
    assert endpoint.versions
    assert endpoint.max_batch >= MODEL.max_batch
    probe = ServerProbe(addresses.triton)
    wait_until(lambda: probe.look().models.keys() >= {MODEL.name})
    probe.close()


def test_images_and_videos_get_their_features(directory: EndpointDirectory) -> None:
    image, video = ImageEmbedding(), VideoEmbedding()
    scenes = [gradient_scene(300, 400, seed) for seed in range(20)]

    async def go() -> tuple[list[Features], Features]:
        runtime = PluginRuntime({"image-embedding": image, "video-embedding": video}, directory)
        try:
            prepared = [{"image-embedding": image.prepare(ImageMedia(scene, 400, 300))} for scene in scenes]
            clip = VideoMedia(np.stack(scenes), np.arange(20) / 2, 10.0, 400, 300)
            stills = await asyncio.gather(*[runtime.run("image", each) for each in prepared])
            found = await runtime.run("video", {"video-embedding": video.prepare(clip)})
            return [each.features for each in stills], found.features
        finally:
            await runtime.close()

    stills, clip = asyncio.run(go())
    vectors = np.stack([features["image-embedding@1"].array() for features in stills])
    frames = clip["video-embedding@1"].array()
    assert vectors.shape == (20, 256)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert frames[:, 0].tolist() == [n / 2 for n in range(20)]
    # the same pixels, alone or as frames, split over other batches: the same vector, and no other one
    cosines = vectors @ frames[:, 1:].T
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-3)
    assert (cosines.argmax(axis=1) == np.arange(20)).all()


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (ModelRef(MODEL.name, {"image": ("UINT8", (8, 8, 3))}, ("embedding",)), "shape"),
        (ModelRef(MODEL.name, {"picture": ("UINT8", (224, 224, 3))}, ("embedding",)), "picture"),
    ],
)
def test_triton_refuses_what_does_not_fit(directory: EndpointDirectory, model: ModelRef, complaint: str) -> None:
    [(name, (_, shape))] = model.inputs.items()

    async def go() -> None:
        client = ModelClient(directory)
        rows = {name: [np.zeros((1, *shape), np.uint8)]}
        try:
            with pytest.raises(Permanent, match=complaint):
                await client.infer(model, 1, rows, asyncio.get_running_loop().time() + 10)
        finally:
            await client.close()

    asyncio.run(go())
