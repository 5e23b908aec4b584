"""Fit the projection of SSCD's 512 dimensions to 256: `python -m benchmarks.fit.sscd_projection --photos DIR`.

Principal components of the descriptors of attacked photos and quadrants, whitened with some restraint: of truncation,
plain principal components and this, the best on photos left out. Photos whose number ends in 0, 1 or 2 are left
out, so that `benchmarks/fit/image_world.py` may copy those for a ranker's fit; figures are printed for them. Needs the
package that `python -m model_plugins.recipes.sscd` fetches.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fit.image_attacks import Picture
from benchmarks.fit.image_head import Floats, Views, described, read_photos, retrieval, whitening
from model_plugins.builtin.image_embedding import squash
from model_plugins.recipes.cached import default_cache
from model_plugins.recipes.embedding_head import EmbeddingHead, save_head
from model_plugins.recipes.sscd import PROJECTION_FILE, WEIGHTS
from model_plugins.recipes.sscd_served import network

DIMENSIONS, SHRINKAGE = 256, 0.3


def sscd_views(photos: list[Picture], package: Path, whole: int, quadrant: int, seed: int) -> Views:
    """SSCD's descriptors [n, 512] of every photo and quadrant as it is and attacked."""
    session = network(package.parent)

    def descriptor(view: Picture) -> Floats:
        image = squash(np.ascontiguousarray(view))[None]
        return np.asarray(session.run(["embedding"], {"image": image})[0][0], np.float32)

    return described(photos, whole, quadrant, seed, descriptor)


def fitted(x: Floats) -> EmbeddingHead:
    """Of rows [n, 512]; each direction's sign is the one that makes its largest weight positive."""
    mean, weight = whitening(x, DIMENSIONS, SHRINKAGE)
    signs = np.sign(weight[np.abs(weight).argmax(0), np.arange(DIMENSIONS)])
    return EmbeddingHead(mean=mean, weight=(weight * signs).astype(np.float32))


def main() -> None:
    """Describe, fit, write, and measure on the photos left out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--package", type=Path, default=default_cache() / "packages" / WEIGHTS.filename)
    parser.add_argument("--whole", type=int, default=6, help="attacked views of each photo")
    parser.add_argument("--quadrant", type=int, default=1, help="attacked views of each quadrant")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", type=Path, default=PROJECTION_FILE)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    views = sscd_views(read_photos(options.photos), options.package, options.whole, options.quadrant, options.seed)
    held = views.photo % 10 < 3
    save_head(options.out, fitted(views.pooled[~held]))
    rest = Views(views.pooled[held], views.photo[held], views.instance[held])
    width = views.pooled.shape[1]
    plain = EmbeddingHead(mean=np.zeros(width, np.float32), weight=np.eye(width, dtype=np.float32))
    figures: dict[str, object] = {"views": len(views.photo), "fitted_on": int((~held).sum())}
    figures |= {"all_512": retrieval(plain, rest), "projected": retrieval(fitted(views.pooled[~held]), rest)}
    print(json.dumps(figures | {"sha256": hashlib.sha256(options.out.read_bytes()).hexdigest()}))


if __name__ == "__main__":
    main()
