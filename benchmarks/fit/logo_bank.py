"""Draw the shipped bank of logos out of simple-icons (CC0-1.0; the trademarks remain their owners').

python -m benchmarks.fit.logo_bank [--cache DIR]     # writes model_plugins/features/data/logos/*.png
"""

from __future__ import annotations

import argparse
import hashlib
import re
import tarfile
import urllib.request
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from fontTools.pens.recordingPen import RecordingPen
from fontTools.svgLib.path import parse_path
from numpy.typing import NDArray

from benchmarks.fit.photos import default_cache

ADDRESS: Final = "https://registry.npmjs.org/simple-icons/-/simple-icons-16.37.0.tgz"
SHA256: Final = "cd9faf0e6faa8a8fdd15e9632ab4c86fcae4b986fe552b87673149847f2f671d"
BANK: Final = Path("model_plugins/features/data/logos")
_NAMED: Final = """
    android apache bilibili bmw debian docker duolingo ferrari firefoxbrowser github gnu huawei kubernetes linux mozilla
    mysql nasa nvidia playstation porsche postgresql python reddit sinaweibo snapchat starbucks steam ubuntu wechat
    wikipedia wordpress xiaomi
"""
NAMES: Final = tuple(_NAMED.split())
SIDE: Final = 192
_STEPS: Final = 12


def package(cache: Path) -> Path:
    """The package, fetched once, its hash checked.

    Raises:
        ValueError: another hash.
    """
    path = cache / "packages" / ADDRESS.rpartition("/")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(ADDRESS, timeout=180) as answer:
            path.write_bytes(answer.read())
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{path}: the hash is not the pinned one")
    return path


def icons(cache: Path) -> dict[str, str]:
    """Name -> the `d` of its path, in a box of 24 x 24."""
    found = {}
    with tarfile.open(package(cache)) as archive:
        for member in archive:
            match = re.fullmatch(r"package/icons/([\w-]+)\.svg", member.name)
            stream = archive.extractfile(member) if match else None
            if match and stream:
                path = re.search(r'<path d="([^"]+)"', stream.read().decode())
                if path:
                    found[match.group(1)] = path.group(1)
    return found


def draw(path: str, side: int) -> NDArray[np.uint8]:
    """The icon's coverage: uint8 [side, side], 255 inside, filled by the even-odd rule."""
    pen = RecordingPen()
    parse_path(path, pen)
    fine = side * 4
    mask = np.zeros((fine, fine), np.uint8)
    outlines = [np.round(outline * fine / 24).astype(np.int32) for outline in _outlines(pen.value)]
    cv2.fillPoly(mask, outlines, 255)
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _outlines(commands: list[tuple[str, tuple[Any, ...]]]) -> list[NDArray[np.float64]]:
    """Pen commands -> closed polygons."""
    polygons: list[NDArray[np.float64]] = []
    here: list[NDArray[np.float64]] = []
    t = np.linspace(0, 1, _STEPS + 1)[1:, None]
    for name, arguments in commands:
        points = [np.array(point, np.float64) for point in arguments]
        if name == "moveTo":
            here = [points[0]]
        elif name == "lineTo":
            here.append(points[0])
        elif name == "curveTo":
            a, (b, c, d) = here[-1], points
            here.extend(a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3)
        elif name == "qCurveTo":
            a, (b, c) = here[-1], points
            here.extend(a * (1 - t) ** 2 + 2 * b * t * (1 - t) + c * t**2)
        elif len(here) > 2:
            polygons.append(np.stack(here))
    return polygons


def main() -> None:
    """Write the bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    arguments = parser.parse_args()
    found = icons(arguments.cache)
    BANK.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        cv2.imwrite(str(BANK / f"{name}.png"), 255 - draw(found[name], SIDE), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    size = sum(path.stat().st_size for path in BANK.glob("*.png"))
    print(f"{len(NAMES)} logos, {size} bytes, in {BANK}")


if __name__ == "__main__":
    main()
