"""Other versions of the image embedding, and other weights of the image ranker, for the benchmarks to measure."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from materials.records import Kind
from model_plugins.recipes.build import build_image_embedding, default_cache
from model_plugins.recipes.sscd_served import PACKAGE, Descriptor
from vector_index.ranking.image import Fitted, ImageFusion
from vector_index.ranking.protocol import Ranker
from vector_index.ranking.registry import default_rankers

Embed = Callable[[NDArray[Any]], NDArray[np.float32]]
"""uint8 [n, 224, 224, 3] -> float32 [n, 256]."""


def embedder(model: Path | None = None) -> Embed:
    """On one thread.

    Args:
        model: an ONNX file, or a folder as `model_plugins.recipes.sscd` makes it; default: the shipped version.

    Raises:
        ValueError: a folder of another kind.
    """
    if model is not None and model.is_dir():
        if not (model / PACKAGE).is_file():
            raise ValueError(f"{model} holds no {PACKAGE}; other versions are given as an ONNX file")
        return Descriptor(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = model or build_image_embedding(default_cache())
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(["embedding"], {"image": images})[0], np.float32)


def digest(model: Path) -> str:
    """Twelve hex digits of a version's file or files: what is cached of it is told apart by them."""
    found = hashlib.sha256()
    for path in sorted(model.rglob("*")) if model.is_dir() else [model]:
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--image-model` and `--fusion`."""
    parser.add_argument("--image-model", type=Path, help="another image-embedding: an ONNX file or a version's folder")
    parser.add_argument("--fusion", type=Path, help="other weights of the image ranker (image_fusion.json)")


def rankers(fusion: Path | None = None) -> dict[Kind, Ranker]:
    """Those that ship; of images, with other weights where they are given."""
    shipped = default_rankers()
    if fusion is None:
        return shipped
    return {**shipped, "image": ImageFusion(msgspec.json.decode(fusion.read_bytes(), type=Fitted))}
