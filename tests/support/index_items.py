"""Materials for the tests of the index: unit vectors around known centres, and the items that carry them."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.records import KINDS, AssignItem, Feature, Kind
from vector_index.ranking.cosine import CosineRanker
from vector_index.ranking.protocol import Ranker

DIM = 32
IMAGE = "image-embedding@1"
VIDEO = "video-embedding@1"
TEXT = "text-embedding@1"
Vector = NDArray[np.float32]


def unit(vectors: NDArray[Any]) -> Vector:
    """Rows of length 1."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def vectors(count: int, seed: int = 0, dim: int = DIM) -> Vector:
    """Unit vectors that have little to do with one another."""
    return unit(np.random.default_rng(seed).standard_normal((count, dim)))


def near(vector: Vector, cosine: float, seed: int = 1) -> Vector:
    """A unit vector at that cosine of another."""
    noise = np.random.default_rng(seed).standard_normal(vector.shape)
    across = unit(noise - (noise @ vector) * vector)
    return unit(cosine * vector + np.sqrt(1.0 - cosine**2) * across)


def fingerprint(*parts: bytes) -> bytes:
    """As producers make them, about."""
    return hashlib.blake2b(b"|".join(parts), digest_size=16).digest()


def image(material_id: str, vector: Vector, policy: str = "feed", **more: Any) -> AssignItem:
    """An image with its embedding."""
    print_ = more.pop("fingerprint", fingerprint(vector.tobytes()))
    features = {IMAGE: Feature.of("vector", vector), **more.pop("features", {})}
    return AssignItem(
        material_id=material_id, kind="image", policy=policy, fingerprint=print_, features=features, **more
    )


def video(material_id: str, frames: Vector, **more: Any) -> AssignItem:
    """A video of two frames a second."""
    times = (np.arange(len(frames), dtype=np.float32) / 2)[:, None]
    feature = Feature.of("timed-vectors", np.concatenate([times, frames], axis=1).astype(np.float32))
    return AssignItem(
        material_id=material_id,
        kind="video",
        policy="feed",
        fingerprint=fingerprint(frames.tobytes()),
        features={VIDEO: feature},
        **more,
    )


def post(material_id: str, text_vector: Vector | None, media: Sequence[Vector], **more: Any) -> AssignItem:
    """A post of a text and images."""
    parts = tuple(image(f"{material_id}/{i}", vector) for i, vector in enumerate(media))
    features = {} if text_vector is None else {TEXT: Feature.of("vector", text_vector)}
    print_ = fingerprint(b"" if text_vector is None else text_vector.tobytes(), *(v.tobytes() for v in media))
    return AssignItem(
        material_id=material_id,
        kind="post",
        policy="feed",
        fingerprint=more.pop("fingerprint", print_),
        features=features,
        parts=parts,
        **more,
    )


def deletion(material_id: str, kind: Kind = "image", revision: int = 0, policy: str = "feed") -> AssignItem:
    """A delete."""
    return AssignItem(
        material_id=material_id, kind=kind, policy=policy, fingerprint=fingerprint(b""), revision=revision, op="delete"
    )


def plain_rankers() -> dict[Kind, Ranker]:
    """Cosine for every kind: 0.85 scores 0.5, 0.90 scores 0.73."""
    return {kind: CosineRanker() for kind in KINDS}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(state: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The real service; it dies with the block."""
    command = [sys.executable, "-m", "vector_index.server", "--state", str(state), "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
