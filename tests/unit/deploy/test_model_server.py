from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from deploy.model_server import environment
from deploy.model_server.catalogue import ALL, EXTRAS, IMAGE_EMBEDDING, OCR, parse_extras, served
from deploy.model_server.environment import ModelEnvironment, choose_server
from deploy.model_server.libpython import SONAME, find_libpython
from deploy.model_server.repository import remove_model, triton_config, write_repository
from deploy.model_server.weights import ensure_model
from materials.errors import SosieError, UsageError


def test_the_first_folder_that_holds_libpython_is_taken(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / SONAME).write_bytes(b"")
    assert find_libpython([tmp_path / "a", tmp_path / "b"]) == tmp_path / "b"
    assert find_libpython([tmp_path / "a"]) is None


def test_triton_where_it_can_run_and_mlserver_with_the_reason_elsewhere() -> None:
    assert choose_server(Path("/lib"), "2.36") == ("triton", "")
    server, reason = choose_server(None, "2.36")
    assert server == "mlserver"
    assert "libpython3.11.so.1.0" in reason
    assert "apt install" in reason
    server, reason = choose_server(Path("/lib"), "2.31")
    assert server == "mlserver"
    assert "2.35" in reason
    assert choose_server(Path("/lib"), "")[0] == "mlserver"


REQUIREMENTS = ["requirements.txt", "requirements-mlserver.txt", *(f"requirements-{extra}.txt" for extra in EXTRAS)]


@pytest.mark.parametrize("file", REQUIREMENTS)
def test_every_requirement_is_pinned_by_hash(file: str) -> None:
    text = (environment.HERE / file).read_text()
    entries = re.split(r"\n(?=[a-z])", text)
    pinned = [entry for entry in entries if "==" in entry.splitlines()[0]]
    assert len(pinned) >= 6
    assert all("--hash=sha256:" in entry for entry in pinned)
    assert "numpy==1.26.4" in text


def test_an_environment_without_uv_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        environment.ensure(tmp_path / ".venv-model")
    assert "make setup" in caught.value.remedy


def test_the_triton_repository_names_types_instances_and_the_batch_limit(tmp_path: Path) -> None:
    weights = tmp_path / "model.onnx"
    weights.write_bytes(b"onnx")
    for _ in range(2):  # writing it again changes nothing
        write_repository(tmp_path / "r", IMAGE_EMBEDDING, weights, ModelEnvironment(tmp_path, "triton"), instances=3)
    config = (tmp_path / "r" / "image-embedding" / "config.pbtxt").read_text()
    assert config == triton_config(IMAGE_EMBEDDING, 3)
    assert 'name: "image" data_type: TYPE_UINT8 dims: [ 224, 224, 3 ]' in config
    assert 'name: "embedding" data_type: TYPE_FP32 dims: [ 256 ]' in config
    assert "max_batch_size: 8" in config
    assert "count: 3 kind: KIND_CPU" in config
    assert "version_policy: { all {} }" in config
    assert "dynamic_batching" not in config
    version = tmp_path / "r" / "image-embedding" / "1"
    assert (version / "model.onnx").read_bytes() == b"onnx"
    compile((version / "model.py").read_text(), "model.py", "exec")


def test_the_mlserver_repository_names_the_same_tensors(tmp_path: Path) -> None:
    weights = tmp_path / "model.onnx"
    weights.write_bytes(b"onnx")
    write_repository(tmp_path / "r", IMAGE_EMBEDDING, weights, ModelEnvironment(tmp_path, "mlserver"))
    settings = json.loads((tmp_path / "r" / "image-embedding" / "model-settings.json").read_text())
    assert settings["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 224, 224, 3]}]
    assert settings["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, 256]}]


def test_weights_in_the_cache_are_used_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "image-embedding" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"onnx")
    assert ensure_model("image-embedding", tmp_path) == path


def test_weights_that_cannot_be_made_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(SosieError, match="image-embedding could not be built"):
        ensure_model("image-embedding", tmp_path / "cache")


def test_only_light_models_are_served_unless_extras_are_asked_for() -> None:
    assert [model.name for model in served(())] == ["image-embedding", "image-tags", "faces"]
    assert {model.name for model in served(EXTRAS)} == {model.name for model in ALL}
    assert parse_extras("speech, ocr") == ("ocr", "speech")
    assert parse_extras("faces") == ()
    assert parse_extras("all") == tuple(sorted(EXTRAS))
    with pytest.raises(UsageError, match="did you mean speech"):
        parse_extras("speach")


def test_varying_dimensions_are_written_as_triton_writes_them() -> None:
    config = triton_config(OCR, 1)
    assert 'name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ]' in config
    assert 'name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4, 2 ]' in config
    assert "max_batch_size: 1" in config


def test_a_model_that_is_not_wanted_any_more_leaves_but_not_the_versions_of_others(tmp_path: Path) -> None:
    write_repository(tmp_path, OCR, None, ModelEnvironment(tmp_path, "triton"))
    (tmp_path / "ocr" / "2").mkdir()
    remove_model(tmp_path, OCR)
    assert not (tmp_path / "ocr" / "1").exists()
    assert (tmp_path / "ocr" / "config.pbtxt").exists()
    (tmp_path / "ocr" / "2").rmdir()
    remove_model(tmp_path, OCR)
    assert not (tmp_path / "ocr").exists()


def test_extras_share_the_versions_of_what_they_have_in_common() -> None:
    pins: dict[str, str] = {}
    for file in ["requirements.txt", *(f"requirements-{extra}.txt" for extra in EXTRAS)]:
        for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (environment.HERE / file).read_text(), re.MULTILINE):
            assert pins.setdefault(name, version) == version, f"{name} in {file}"


def test_an_environment_tells_its_extras(tmp_path: Path) -> None:
    assert environment.installed_extras(tmp_path) == ()
    (tmp_path / environment.STAMP).write_text(
        "requirements.txt abc\nrequirements-ocr.txt def\nrequirements-gone.txt 1\n"
    )
    assert environment.installed_extras(tmp_path) == ("ocr",)


def test_extras_need_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOSIE_MODEL_SERVER", "mlserver")
    with pytest.raises(UsageError, match="ocr need Triton"):
        environment.ensure(tmp_path / "env", extras=["ocr"])
