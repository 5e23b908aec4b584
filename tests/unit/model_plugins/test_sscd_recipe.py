"""SSCD as a version of the image embedding, with a drawn network in the place of the real one: nothing is fetched."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.image_models import digest, embedder
from deploy.model_server.catalogue import IMAGE_EMBEDDING
from materials.errors import SosieError
from model_plugins.library.source import read_source
from model_plugins.recipes import build, sscd
from model_plugins.recipes.embedding_head import EmbeddingHead, load_head, save_head
from model_plugins.recipes.index_file import IndexFile
from model_plugins.recipes.sscd_served import MEMBER, PACKAGE, Descriptor

ROOT = Path(__file__).resolve().parents[3]
PICTURES = np.random.default_rng(3).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)


def drawn_network() -> bytes:
    """uint8 [b, h, w, 3] -> float32 [b, 512] of unit norm: means of the colours, mixed."""
    weight = np.random.default_rng(1).normal(size=(3, 512)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["colour", "w"], ["mixed"]),
        helper.make_node("LpNormalization", ["mixed"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", "h", "w", 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", 512])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that has a package of that name, and a recipe that takes it for the pinned one."""
    package = tmp_path / "packages" / PACKAGE
    package.parent.mkdir()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(MEMBER, drawn_network())
    pinned = IndexFile(sscd.WEIGHTS.project, PACKAGE, hashlib.sha256(package.read_bytes()).hexdigest())
    monkeypatch.setattr(sscd, "WEIGHTS", pinned)
    return tmp_path


def raw(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = ort.InferenceSession(drawn_network(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": pictures})[0], np.float32)


def test_the_version_answers_what_the_network_says_projected(cache: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    head = EmbeddingHead(rng.normal(0, 0.01, 512).astype(np.float32), rng.normal(size=(512, 256)).astype(np.float32))
    save_head(tmp_path / "p.npz", head)
    found = Descriptor(sscd.build_sscd(cache, projection=tmp_path / "p.npz"))(PICTURES)
    kept = load_head(tmp_path / "p.npz")
    expected = (raw(PICTURES) - kept.mean) @ kept.weight
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_library_takes_it_as_the_next_version_of_the_shipped_model(cache: Path) -> None:
    source = read_source(sscd.build_sscd(cache), b"")
    assert source.backend == "python"
    tensors = {"inputs": IMAGE_EMBEDDING.inputs, "outputs": IMAGE_EMBEDDING.outputs}
    for side, wanted in tensors.items():
        assert {each.name: (each.dtype, each.shape) for each in getattr(source.signature, side)} == wanted
    assert (
        source.files[PACKAGE] == (cache / "packages" / PACKAGE).read_bytes()
    )  # whole and unchanged, licences included
    assert "class TritonPythonModel" in source.files["model.py"].decode()


def test_a_damaged_version_mends_itself_and_another_package_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sscd.build_sscd(cache)
    before = digest(folder)
    (folder / PACKAGE).write_bytes(b"half")
    assert digest(folder) != before
    assert digest(sscd.build_sscd(cache)) == before
    monkeypatch.setattr(sscd, "fetch", lambda *_args, **_named: (_ for _ in ()).throw(SosieError("another hash")))
    assert sscd.main(["--cache", str(cache)]) == 1


def test_the_command_says_the_licence_and_the_next_step(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sscd.main(["--cache", str(cache)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(cache / sscd.NAME)
    assert "licence: LicenseRef-Proprietary" in said.err
    assert f"sosie model add image-embedding {cache / sscd.NAME}" in said.err


def test_the_shipped_projection_has_orthogonal_directions() -> None:
    head = load_head(sscd.PROJECTION_FILE)
    assert head.weight.shape == (512, 256)
    unit = head.weight / np.linalg.norm(head.weight, axis=0)
    np.testing.assert_allclose(unit.T @ unit, np.eye(256), atol=0.02)


def test_benchmarks_measure_the_folder_or_an_onnx_file(cache: Path, tmp_path: Path) -> None:
    folder = sscd.build_sscd(cache)
    np.testing.assert_array_equal(embedder(folder)(PICTURES), Descriptor(folder)(PICTURES))
    (tmp_path / "plain.onnx").write_bytes(drawn_network())
    np.testing.assert_allclose(embedder(tmp_path / "plain.onnx")(PICTURES), raw(PICTURES), atol=1e-6)
    with pytest.raises(ValueError, match="holds no"):
        embedder(tmp_path / "packages" / "..")


def test_nothing_installs_or_fetches_it_unasked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    asked_for = [
        path
        for path in tracked
        if path.endswith((".toml", ".lock", ".txt", ".in", ".yml", ".yaml")) or path == "Makefile"
        if "immaculate" in (ROOT / path).read_text(encoding="utf-8", errors="replace").lower()
    ]
    assert asked_for == []
    assert not [name for name in build.RECIPES if "sscd" in name]
    assert not [path for path in tracked if path.endswith((".whl", ".onnx"))]
