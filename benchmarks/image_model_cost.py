"""CPU milliseconds of one core for a picture, of the shipped image embedding and of others, in turns.

    python -m benchmarks.image_model_cost MODEL… [--rounds 40] [--rows 8]

MODEL: an ONNX file or a version's folder (see `benchmarks.image_models`). Each round sends every model the same drawn
pictures, one model after the other, so that a busy machine slows all alike. The model alone: no decoding, no scaling.
The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: one core

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.image_models import embedder

SIDE = 224


def main() -> None:
    """Warm up, alternate, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=8, help="pictures of one call")
    options = parser.parse_args()
    models = {"shipped": embedder(), **{str(path): embedder(path) for path in options.models}}
    rng = np.random.default_rng(0)
    spent: dict[str, list[float]] = {name: [] for name in models}
    for number in range(options.rounds + 2):
        pictures = rng.integers(0, 256, (options.rows, SIDE, SIDE, 3), dtype=np.uint8)
        for name, embed in models.items():
            started = time.process_time()
            embed(pictures)
            if number >= 2:
                spent[name].append((time.process_time() - started) / options.rows * 1e3)
    found = {
        name: {"median": round(float(np.median(ms)), 2), "lowest": round(min(ms), 2)} for name, ms in spent.items()
    }
    print(json.dumps({"rows": options.rows, "rounds": options.rounds, "cpu_ms_a_picture": found}))


if __name__ == "__main__":
    main()
