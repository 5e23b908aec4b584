"""What the decode child does with one medium: every plug-in's part, and nothing that nobody asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import scene

from materials.errors import Rejected
from materials.records import Feature
from model_plugins.protocol import ANY, Example, ImageMedia, Manifest, ModelRef, Tensors
from model_plugins.runtime.wants import Wants
from pipeline.media.decoder import Decoder
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.store import MediaStore


class Encoded:
    """Its model decodes by itself."""

    manifest = Manifest(
        name="encoded",
        version=1,
        media="image",
        schema="vector",
        model=ModelRef(name="gpu", inputs={"file": ("UINT8", (ANY,))}, outputs=("out",)),
    )

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        raise AssertionError("it takes files, not pixels")

    def prepare_encoded(self, data: bytes) -> dict[str, NDArray[Any]] | None:
        return {"file": np.frombuffer(data, np.uint8)[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        return Feature.of("vector", outputs["out"][0])

    def examples(self) -> list[Example]:
        return []


class Shape:
    """How large the pixels are that it gets."""

    def __init__(self, name: str = "shape", min_side: int = 0) -> None:
        self.manifest = Manifest(name=name, version=1, media="image", schema="shape", min_side=min_side)

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        return {"shape": np.array(media.rgb.shape)[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        return Feature.of("shape", outputs["shape"][0])

    def examples(self) -> list[Example]:
        return []


def jpeg(folder: Path, width: int = 800, height: int = 600) -> bytes:
    data: bytes = cv2.imencode(".jpg", scene(1, width, height))[1].tobytes()
    (folder / "a.jpg").write_bytes(data)
    return data


def decoder(*plugins: Any, store: MediaStore | None = None, **limits: Any) -> Decoder:
    named = {plugin.manifest.name: plugin for plugin in plugins}
    return Decoder(named, MediaAccess(), MediaLimits(**limits), store)


def test_a_file_that_the_server_decodes_is_sent_as_it_is(tmp_path: Path) -> None:
    data, store = jpeg(tmp_path), MediaStore(tmp_path / "store")
    prepared = decoder(Encoded(), store=store).prepare("a.jpg", tmp_path, "image")
    assert prepared.tensors["encoded"]["file"].tobytes() == data
    assert (prepared.width, prepared.height, prepared.failures) == (800, 600, {})
    assert store.find(prepared.sha256) is None, "it was decoded here, though nobody needed pixels"


def test_its_header_is_measured_all_the_same(tmp_path: Path) -> None:
    jpeg(tmp_path)
    with pytest.raises(Rejected, match="800 x 600 pixels, more than the limit"):
        decoder(Encoded(), max_pixels=1000).prepare("a.jpg", tmp_path, "image")


def test_both_kinds_of_plugins_get_what_they_take(tmp_path: Path) -> None:
    data = jpeg(tmp_path)
    prepared = decoder(Encoded(), Shape()).prepare("a.jpg", tmp_path, "image")
    assert prepared.tensors["encoded"]["file"].tobytes() == data
    assert prepared.tensors["shape"]["shape"].tolist() == [[600, 800, 3]]


@pytest.mark.parametrize(("ours", "theirs", "side"), [(100, 0, 150), (100, 300, 300), (300, 100, 300)])
def test_pixels_suffice_for_the_most_demanding_plugin_wherever_it_runs(
    tmp_path: Path, ours: int, theirs: int, side: int
) -> None:
    jpeg(tmp_path)
    wants = Wants(media=True, min_side=theirs)
    prepared = decoder(Shape(min_side=ours)).prepare("a.jpg", tmp_path, "image", wants=wants)
    assert prepared.media is not None
    assert prepared.tensors["shape"]["shape"][0][0] == side
