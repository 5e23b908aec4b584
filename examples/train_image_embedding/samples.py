"""The sample library: a folder with `samples.json`, the photos, and rows of pooled features that the job wrote."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.fit.image_head import Views
from examples.train_image_embedding.photos import Photo
from materials.errors import UsageError

MANIFEST: Final = "samples.json"
ROWS: Final = "rows"


class Task(msgspec.Struct, frozen=True):
    """What one record of the job asks for: attacked views of one photo (`quadrant` -1) or of one of its quadrants."""

    photo: int
    file: str
    quadrant: int
    views: int
    seed: int


class Row(msgspec.Struct, frozen=True):
    """What the job answers: `pooled`, base64 of float16 [n, width], little-endian, the untouched view first; no views
    where a quadrant is too flat to tell anything."""

    photo: int
    quadrant: int
    views: int
    pooled: str


class Samples(msgspec.Struct, frozen=True):
    """`samples.json`."""

    seed: int
    photos: tuple[Photo, ...]
    views: int
    width: int


def encode(task: Task, pooled: np.ndarray) -> str:  # type: ignore[type-arg]
    """A row as a JSON line."""
    data = base64.b64encode(pooled.astype("<f2").tobytes()).decode()
    return msgspec.json.encode(Row(task.photo, task.quadrant, len(pooled), data)).decode()


def read_samples(folder: Path) -> tuple[Samples, Views]:
    """The library and its features, in an order that does not depend on how the job was spread.

    Raises:
        UsageError: the folder holds no library, or a row of it is missing.
    """
    try:
        samples = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Samples)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{folder} holds no sample library: {error}",
            f"python -m examples.train_image_embedding.make_samples --out {folder}",
        ) from None
    lines = (line for path in sorted((folder / ROWS).glob("*.jsonl")) for line in path.read_bytes().splitlines())
    rows = sorted((msgspec.json.decode(line, type=Row) for line in lines), key=lambda row: (row.photo, row.quadrant))
    rows = [row for row in rows if row.views]
    if sum(row.views for row in rows) != samples.views:
        raise UsageError(f"{folder} is not whole", "make it again")
    pooled = np.concatenate(
        [np.frombuffer(base64.b64decode(row.pooled), "<f2").reshape(row.views, samples.width) for row in rows]
    )
    counts = [row.views for row in rows]
    photo = np.repeat([row.photo for row in rows], counts)
    return samples, Views(pooled.astype(np.float32), photo, np.repeat(np.arange(len(rows)), counts))
