"""A model file in the cache, with a manifest of what it was made of: made when it is absent, damaged or out of date."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from model_plugins.recipes.index_file import sha256_of, write_whole


class ModelManifest(msgspec.Struct, frozen=True):
    """What a cached model was made of. `inputs`: name -> sha256 in hex; `model`: that of the file that came out."""

    revision: int
    inputs: dict[str, str]
    model: str


def default_cache() -> Path:
    """`$SOSIE_CACHE/models`, or `~/.cache/sosie/models`."""
    return Path(os.environ.get("SOSIE_CACHE") or Path.home() / ".cache" / "sosie") / "models"


def read_manifest(path: Path) -> ModelManifest | None:
    """None when it is absent or not readable: then the model is made again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ModelManifest)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def cached_model(cache: Path, name: str, revision: int, inputs: Mapping[str, str], make: Callable[[], bytes]) -> Path:
    """`CACHE/<name>/1/model.onnx`, as it is or made by `make`; beside it `manifest.json`.

    Args:
        revision: of the recipe.
        inputs: sha256 of everything that the file is made of, by name.
        make: gives the file's bytes, the same ones each time.
    """
    path = cache / name / "1" / "model.onnx"
    manifest_path = path.with_name("manifest.json")
    known = read_manifest(manifest_path)
    if (
        known is not None
        and (known.revision, known.inputs) == (revision, dict(inputs))
        and path.is_file()
        and sha256_of(path) == known.model
    ):
        return path
    data = make()
    write_whole(path, data)
    manifest = ModelManifest(revision, dict(inputs), hashlib.sha256(data).hexdigest())
    write_whole(manifest_path, msgspec.json.format(msgspec.json.encode(manifest)))
    return path
