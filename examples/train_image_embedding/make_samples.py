"""Write a sample library with a Flink job in batch mode: `python -m examples.train_image_embedding.make_samples`.

    photos of packages -> tasks.jsonl -> [Flink, batch: attack, pool] -> rows/*.jsonl, samples.json

Each record of the job is a photo or a quadrant of one, with a seed of its own, so the rows are the same however many
subtasks compute them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from pyflink.common import Types
from pyflink.datastream import RuntimeExecutionMode
from pyflink.datastream.functions import MapFunction, RuntimeContext

from benchmarks.fit.image_attacks import Picture, attack
from benchmarks.fit.image_head import pooled_session, squash
from examples.train_image_embedding.photos import write_photos
from examples.train_image_embedding.samples import MANIFEST, ROWS, Row, Samples, Task, encode
from materials.errors import UsageError
from model_plugins.recipes.efficientnet_lite import POOLED_CHANNELS
from pipeline.demo.sources import default_cache
from pipeline.flink import environment
from pipeline.flink.files import lines, sink
from pipeline.model_golden import demo_photos
from pipeline.spec import FilesSource

FLAT = 12.0
"""Standard deviation of the grey values below which a quadrant tells nothing (sky, wall)."""


class AttackAndPool(MapFunction):  # type: ignore[misc]
    """A task (JSON bytes) -> a row (JSON): attacked views, through the embedding's frozen backbone."""

    def __init__(self, folder: str, files: list[str]) -> None:
        self._folder = Path(folder)
        self._files = files
        self._session: Any = None

    def open(self, runtime_context: RuntimeContext) -> None:  # noqa: ARG002 - Flink's signature
        """Load the backbone, one thread."""
        cv2.setNumThreads(1)
        self._session = pooled_session()

    def map(self, value: Any) -> str:
        """Compute one row."""
        task = msgspec.json.decode(bytes(value[0]), type=Task)
        rng = np.random.default_rng([task.seed, task.photo, task.quadrant + 1])
        picture = self._picture(task.file)
        if task.quadrant >= 0:
            height, width = picture.shape[0] // 2, picture.shape[1] // 2
            top, left = divmod(task.quadrant, 2)
            picture = picture[top * height : (top + 1) * height, left * width : (left + 1) * width]
            if picture.std() < FLAT:
                return encode(task, np.zeros((0, sum(POOLED_CHANNELS))))

        def other(generator: np.random.Generator) -> Picture:
            return self._picture(self._files[int(generator.integers(0, len(self._files)))])

        views = [picture, *(attack(picture, rng, other) for _ in range(task.views))]
        pooled = [self._session.run(None, {"image": squash(view)[None]})[0][0] for view in views]
        return encode(task, np.stack(pooled))

    def _picture(self, file: str) -> Picture:
        decoded = cv2.imread(str(self._folder / file), cv2.IMREAD_COLOR)
        if decoded is None:
            raise UsageError(f"{self._folder / file} cannot be read", "make the sample library again")
        return np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)


def tasks_of(files: list[str], whole: int, quadrant: int, seed: int) -> list[Task]:
    """Each photo, and its four quadrants: parts of pictures are posted too."""
    return [
        Task(number, file, part, whole if part < 0 else quadrant, seed)
        for number, file in enumerate(files)
        for part in range(-1, 4)
    ]


def run_job(out: Path, tasks: list[Task], files: list[str], parallelism: int) -> int:
    """Run the batch job to its end; returns the number of views that it wrote."""
    path = out / "tasks.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(task) + b"\n" for task in tasks))
    environment.prepare_gateway(out / "log")
    env = environment.mini_cluster("batch", out / "checkpoints")
    env.set_runtime_mode(RuntimeExecutionMode.BATCH)
    env.set_parallelism(parallelism)
    work = AttackAndPool(str(out / "photos"), files)
    rows = (
        lines(env, FilesSource(kind="files", path=path)).rebalance().map(work, Types.STRING()).name("attack and pool")
    )
    rows.sink_to(sink(out / ROWS, "rows")).name("sample library")
    env.execute("sample library")
    written = (line for file in (out / ROWS).glob("*.jsonl") for line in file.read_bytes().splitlines())
    return sum(msgspec.json.decode(line, type=Row).views for line in written)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m examples.train_image_embedding.make_samples", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/train/samples"), help="a new folder (%(default)s)")
    parser.add_argument("--whole", type=int, default=14, help="attacked views of each photo (%(default)s)")
    parser.add_argument("--quadrant", type=int, default=6, help="attacked views of each quadrant (%(default)s)")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--parallelism", type=int, default=2, help="subtasks of the job (%(default)s)")
    parser.add_argument("--small", action="store_true", help="few photos and views, to see that it works")
    options = parser.parse_args()
    out = options.out.absolute()
    if (out / MANIFEST).exists():
        sys.stderr.write(f"{out} holds a sample library already; name another folder with --out\n")
        return 2
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {line}\n")

    photos = write_photos(out / "photos", default_cache(), demo_photos(), options.small, say)
    files = [photo.file for photo in photos]
    whole, quadrant = (3, 1) if options.small else (options.whole, options.quadrant)
    say(f"{len(photos)} photos; the job begins")
    views = run_job(out, tasks_of(files, whole, quadrant, options.seed), files, options.parallelism)
    samples = Samples(options.seed, tuple(photos), views, sum(POOLED_CHANNELS))
    (out / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(samples), indent=1))
    say(f"{views} views in {out}; next: python -m examples.train_image_embedding.train --samples {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
