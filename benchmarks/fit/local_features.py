"""Fit what local features ship with: the descriptors' projection and the coarse centroids of the vote index.

    python -m benchmarks.fit.local_features [--cache DIR]

Writes `model_plugins/features/data/sift_basis.npz` and `vector_index/spaces/data/keypoint_centroids.npz`. The centroids
are closed under mirroring: the second half are the first half with the odd components negated, so that the mirrored
query's nearest cells are the query's own, renamed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import faiss
import numpy as np

from benchmarks.fit.attacks import attack
from benchmarks.fit.photos import default_cache, photos
from model_plugins.features import local

HALF = 1024
"""Centroids before mirroring."""
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Fit and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=default_cache())
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in photos(parser.parse_args().cache)]
    random = np.random.default_rng(1)
    plain = np.concatenate([local.detect(picture, 600).descriptors for picture in pictures])
    basis = local.fit_basis(plain)
    target = ROOT / "model_plugins" / "features" / "data" / "sift_basis.npz"
    np.savez_compressed(target, mean=basis.mean, axes=basis.axes)

    attacked = [local.detect(attack(picture, random, pictures)[0], 300).descriptors for picture in pictures]
    low = local.project(np.concatenate([plain, *attacked]), basis).astype(np.float32)
    low /= np.linalg.norm(low, axis=1, keepdims=True) + 1e-6
    # a representative of each {vector, mirrored twin}: the one whose first odd component is positive
    signs = np.array([1.0] * (local.COMPONENTS - local.ODD) + [-1.0] * local.ODD, np.float32)
    folded = np.where(low[:, local.COMPONENTS - local.ODD, None] < 0, low * signs, low)
    kmeans = faiss.Kmeans(local.COMPONENTS, HALF, niter=12, seed=1, spherical=True, max_points_per_centroid=150)
    kmeans.train(np.ascontiguousarray(folded))
    file = ROOT / "vector_index" / "spaces" / "data" / "keypoint_centroids.npz"
    np.savez_compressed(file, half=np.rint(kmeans.centroids * local.QUANTUM).clip(-127, 127).astype(np.int8))
    print(f"{len(plain)} descriptors of {len(pictures)} photos; {target.name}, {file.name} written")


if __name__ == "__main__":
    main()
