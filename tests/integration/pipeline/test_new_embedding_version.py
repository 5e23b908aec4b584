"""A new embedding version takes over a running system: every repost still finds its content ID, and the way back too.

The new version is the shipped one in other coordinates, so that a vector of one compared with one of the other would be
noise; and the job has no other evidence than the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from embedding_versions import turned
from photos import photo
from sosie_system import System, results, write_job

from deploy import stack
from deploy.addresses import GivenAddresses
from pipeline.model_golden import demo_photos, write_golden

PLUGINS = ["image-embedding"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A stack of its own: an alias that moves would show in other tests."""
    state = tmp_path_factory.mktemp("versions")
    addresses = stack.up(state, GivenAddresses())
    try:
        yield System(state, addresses)
    finally:
        stack.down(state)


@pytest.fixture(scope="module")
def names() -> list[str]:
    return sorted(demo_photos())[:12]


def post(system: System, folder: Path, job: str, names: list[str], side: int) -> dict[str, dict[str, Any]]:
    """Each photo in another size and quality, as a material of its own; outcomes by photo."""
    (folder / "input").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        rgb = photo(name)
        small = cv2.resize(rgb, (side, side * rgb.shape[0] // rgb.shape[1]), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 60 + side % 31]
        cv2.imwrite(str(folder / "input" / f"{job}-{number}.jpg"), small[:, :, ::-1], quality)
    records = [
        {"material_id": f"{job}-{number}", "kind": "image", "media": [f"{job}-{number}.jpg"]}
        for number in range(len(names))
    ]
    system.run(write_job(folder, records, name=job, plugins=PLUGINS))
    found = {each["material_id"]: each for each in results(folder, job)}
    return {name: found[f"{job}-{number}"] for number, name in enumerate(names)}


def test_content_ids_survive_promotion_and_rollback(own: System, tmp_path: Path, names: list[str]) -> None:
    first = post(own, tmp_path, "first", names, 400)
    ids = {name: each["content_id"] for name, each in first.items()}
    assert len(set(ids.values())) > len(names) * 3 // 4, "hardly any photos are told apart to begin with"
    assert {key for each in first.values() for key in each["features"]} == {"image-embedding@1"}

    write_golden(tmp_path / "golden", {name: data for name, data in demo_photos().items() if name in names}, queries=3)
    own.ask("model", "add", "image-embedding", turned(tmp_path / "turned.onnx"))
    own.ask("model", "verify", "image-embedding@2", "--golden", tmp_path / "golden")
    own.ask("model", "deploy", "image-embedding@2")
    own.ask("model", "promote", "image-embedding@2")
    assert own.ask("content", "features", "first-0")["first-0"].keys() >= {"image-embedding@1"}

    second = post(own, tmp_path, "second", names, 333)
    assert {key for each in second.values() for key in each["features"]} == {"image-embedding@1.2"}
    assert {name: each["content_id"] for name, each in second.items()} == ids
    assert all(each["matched"]["recall_score"] > 0.9 for each in second.values()), "not found through the new space"

    own.ask("model", "rollback", "image-embedding")
    third = post(own, tmp_path, "third", names, 300)
    assert {key for each in third.values() for key in each["features"]} == {"image-embedding@1"}
    assert {name: each["content_id"] for name, each in third.items()} == ids


def test_what_only_the_newer_version_saw_is_found_after_the_rollback(
    own: System, tmp_path: Path, names: list[str]
) -> None:
    others = sorted(set(demo_photos()) - set(names))[:4]
    own.ask("model", "promote", "image-embedding@2")
    seen = post(own, tmp_path, "newer", others, 380)
    own.ask("model", "rollback", "image-embedding")
    again = post(own, tmp_path, "older", others, 310)
    assert {name: each["content_id"] for name, each in again.items()} == {
        name: each["content_id"] for name, each in seen.items()
    }
    assert {key for each in again.values() for key in each["features"]} == {"image-embedding@1"}
