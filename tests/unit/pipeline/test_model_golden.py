"""Golden sets on disk, and versions written into a model repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_onnx
from scenes import scene, write_jpeg

from deploy.model_server.library_sync import materialise
from materials.errors import Permanent, UsageError
from model_plugins.library.library import Library
from model_plugins.library.signature import signature_of_onnx
from model_plugins.library.store import FolderStore
from pipeline.model_golden import folder_photos, read_golden, write_golden


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    for seed in range(3):
        write_jpeg(tmp_path / "photos" / f"p{seed}.jpg", scene(seed))
    return folder_photos(tmp_path / "photos")


def test_a_golden_set_is_the_same_each_time_and_reads_as_model_inputs(photos: dict[str, bytes], tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = write_golden(tmp_path / name, photos, queries=3)
    assert [len(query.attacks) for query in made.queries] == [1, 2, 3] * 3
    one, two = (read_golden(tmp_path / name, "image-embedding") for name in ("a", "b"))
    assert one.digest == two.digest
    assert (one.references, one.queries) == (3, 9)
    assert one.inputs["image"].shape == (12, 224, 224, 3)
    assert np.array_equal(one.truth, [-1, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    (tmp_path / "b" / "p0-1.jpg").write_bytes((tmp_path / "a" / "p1-1.jpg").read_bytes())
    assert read_golden(tmp_path / "b", "image-embedding").digest != one.digest


def test_wrong_use_of_golden_sets(photos: dict[str, bytes], tmp_path: Path) -> None:
    write_golden(tmp_path / "g", photos, queries=1)
    with pytest.raises(UsageError, match="golden set already"):
        write_golden(tmp_path / "g", photos)
    with pytest.raises(UsageError, match="no plug-in for images"):
        read_golden(tmp_path / "g", "unknown-model")
    with pytest.raises(UsageError) as raised:
        read_golden(tmp_path, "image-embedding")
    assert raised.value.remedy == f"sosie model golden --out {tmp_path}"
    with pytest.raises(UsageError, match="holds no pictures"):
        folder_photos(tmp_path / "g" / "none")
    manifest = tmp_path / "g" / "golden.json"
    manifest.write_text(manifest.read_text().replace('"p0.png"', '"../photos/p0.jpg"'))
    with pytest.raises(UsageError, match="not in the folder"):
        read_golden(tmp_path / "g", "image-embedding")


def test_versions_appear_whole_in_a_repository(tmp_path: Path) -> None:
    library, repository = Library(FolderStore(tmp_path / "library")), tmp_path / "repository"
    data = tiny_onnx.random_projection(1)
    card = library.add(
        "picture",
        {"model.onnx": data, "labels/en.txt": b"cat\n"},
        signature_of_onnx(data),
        backend="python",
        runtime="",
        training="",
        licence="",
    )
    materialise(repository, library, [card])
    version = repository / "picture" / "1"
    assert (version / "model.onnx").read_bytes() == data
    assert (version / "labels" / "en.txt").read_bytes() == b"cat\n"
    assert "version_policy" in (repository / "picture" / "config.pbtxt").read_text()
    (version / "model.onnx").write_bytes(b"damaged")
    (repository / "picture" / "config.pbtxt").write_text("# as the stack wrote it")
    materialise(repository, library, [card])
    assert (version / "model.onnx").read_bytes() == data
    assert (repository / "picture" / "config.pbtxt").read_text() == "# as the stack wrote it"
    assert sorted(path.name for path in (repository / "picture").iterdir()) == ["1", "config.pbtxt"]
    (repository / "picture" / "model-settings.json").write_text("{}")
    with pytest.raises(Permanent, match="MLServer"):
        materialise(repository, library, [card])
