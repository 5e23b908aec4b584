"""Other versions of the shipped image embedding, made of the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_plugins.recipes.build import WEIGHTS, default_cache, read_weights
from model_plugins.recipes.efficientnet_lite import build_model
from model_plugins.recipes.embedding_head import EmbeddingHead, load_head
from model_plugins.recipes.index_file import fetch
from model_plugins.recipes.torch_pickle import read_state_dict


def turned(path: Path, seed: int = 1) -> Path:
    """The shipped head in other coordinates: exactly as good, and its vectors say nothing beside the shipped ones."""
    head = load_head()
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(256, 256)))[0].astype(np.float32)
    state = read_state_dict(read_weights(fetch(WEIGHTS, default_cache() / "packages")))
    path.write_bytes(build_model(state, EmbeddingHead(head.mean, head.weight @ turn)).SerializeToString())
    return path
