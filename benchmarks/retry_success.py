"""How many materials succeed while a share of the model calls fails at random?

Text posts and small images, each with words or pixels of its own, go through `sosie run` against a stack whose only
model server stands behind `benchmarks/flaky_models.py`. Each failed call fails the whole batch that it carried.

    python benchmarks/retry_success.py [--materials 20000] [--images 0.5] [--failing 0.05] [--out out/retry_success]

The last line is one JSON object; exit code 3 when fewer than 99.99 % succeed, 1 when one is lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.flaky_models import FlakyModels
from deploy import stack
from deploy.addresses import GivenAddresses

GOAL = 0.9999
_SYLLABLES = ("ba", "ko", "ri", "ten", "mul", "sha", "ve", "lo", "quin", "dar", "fen", "pis", "tor", "na", "gu", "hey")


def words(rng: random.Random, count: int) -> str:
    """A text of made-up words."""
    return " ".join("".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(count))


def picture(seed: int) -> bytes:
    """A JPEG of 96 pixels a side, unlike all others."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    encoded: Any = cv2.imencode(".jpg", cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC))[1]
    return bytes(encoded)


def write_input(folder: Path, materials: int, images: float, seed: int) -> None:
    """`input/stream.jsonl` and its pictures; every second image is the medium of a post."""
    pictures = folder / "input" / "pictures"
    pictures.mkdir(parents=True)
    rng = random.Random(seed)
    with (folder / "input" / "stream.jsonl").open("w") as file:
        for number in range(materials):
            record: dict[str, Any] = {"material_id": f"r{number}", "kind": "post", "text": words(rng, 12)}
            if rng.random() < images:
                (pictures / f"{number}.jpg").write_bytes(picture(seed + number))
                record["media"] = [f"pictures/{number}.jpg"]
                if number % 2:
                    record |= {"kind": "image", "text": ""}
            file.write(json.dumps(record) + "\n")


def write_spec(folder: Path, attempts: int) -> Path:
    """The job: attempts inside the operator as by default, short pauses in the queue."""
    path = folder / "job.yaml"
    spec = {
        "name": "retry-success",
        "source": {"kind": "files", "path": "input/stream.jsonl"},
        "sink": {"kind": "files", "path": "out"},
        "plugins": ["image-embedding", "text-embedding"],
        "retry": {"attempts": attempts, "base_s": 0.2, "max_s": 2.0, "queue": {"base_s": 1.0, "max_s": 10.0}},
        "media": {"keep": False},
    }
    path.write_text(yaml.safe_dump(spec))
    return path


def outcomes(folder: Path) -> list[dict[str, Any]]:
    """All committed ones."""
    files = sorted((folder / "out" / "results").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.open()]


def measure(folder: Path, materials: int, images: float, failing: float, attempts: int, seed: int) -> dict[str, Any]:
    """Run it and count."""
    write_input(folder, materials, images, seed)
    spec = write_spec(folder, attempts)
    models = stack.up(folder / "models")
    try:
        with FlakyModels(models.triton, failing, seed) as flaky:
            stack.up(folder / "state", GivenAddresses(triton=flaky.address))
            try:
                command = [sys.executable, "-m", "pipeline.cli.main", "run", str(spec), "--json"]
                began = time.monotonic()
                done = subprocess.run(
                    [*command, "--state", str(folder / "state")], capture_output=True, text=True, check=False
                )
                seconds = time.monotonic() - began
            finally:
                stack.down(folder / "state")
            calls, failed = flaky.calls, flaky.failed
    finally:
        stack.down(folder / "models")
    if done.returncode not in (0, 3):
        raise RuntimeError(f"sosie run ended with {done.returncode}: {done.stderr[-2000:]}")
    found = outcomes(folder)
    kinds = Counter(each["outcome"] for each in found)
    ids = {each["material_id"] for each in found}
    return {
        "materials": materials,
        "succeeded": kinds["unique"] + kinds["duplicate"],
        "success_rate": (kinds["unique"] + kinds["duplicate"]) / materials,
        "outcomes": dict(kinds),
        "lost": materials - len(ids),
        "doubled": len(found) - len(ids),
        "model_calls": calls,
        "model_calls_failed": failed,
        "with_retries": sum(each["attempts"] > 1 for each in found),
        "through_the_queue": sum(each["attempts"] > attempts for each in found),
        "most_attempts": max(each["attempts"] for each in found),
        "causes_of_death": dict(Counter(each["reason"] for each in found if each["outcome"] == "dead")),
        "seconds": round(seconds, 1),
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--materials", type=int, default=20_000)
    parser.add_argument("--images", type=float, default=0.5, help="share of materials with a picture")
    parser.add_argument("--failing", type=float, default=0.05, help="share of the model calls that fail")
    parser.add_argument(
        "--attempts", type=int, default=3, help="inside the operator; 1 sends each failure to the queue"
    )
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("out/retry_success"), help="a folder that is not there yet")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    found = measure(
        options.out.resolve(), options.materials, options.images, options.failing, options.attempts, options.seed
    )
    sys.stdout.write(json.dumps(found) + "\n")
    if found["lost"] or found["doubled"]:
        return 1
    return 0 if found["success_rate"] >= GOAL else 3


if __name__ == "__main__":
    sys.exit(main())
