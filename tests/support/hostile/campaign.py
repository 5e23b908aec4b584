"""Hostile inputs through the real job, and what became of each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hostile import addresses, clips, lines, paths, pictures
from hostile.bait import Bait
from hostile.case import Case, case
from hostile.fuzzer import mutants, seeds
from hostile.memory import Sampler
from hostile.reference import is_whole
from hostile.traps import BAIT, Listeners, NameServer

PLUGINS = ["image-embedding", "image-pdq", "image-local", "video-embedding", "video-local", "text-embedding"]
LIMITS = {"fetch_timeout_s": 1.0, "timeout_s": 6.0, "max_bytes": 16 << 20}
# once in the operator, once more through the queue: a name that is asked again gives its second answer
RETRY = {"attempts": 1, "base_s": 0.05, "max_s": 0.2, "queue": {"attempts": 2, "base_s": 0.1, "max_s": 0.5}}
_REASON = re.compile(r"[a-z_0-9]+: \S.*", re.DOTALL)
_FAILED = re.compile(r"switched from \w+ to FAILED")


class Result(msgspec.Struct, frozen=True):
    """One input and its outcome; `outcome` is empty where there was none."""

    name: str
    family: str
    outcome: str
    reason: str


class Summary(msgspec.Struct, frozen=True):
    """What `make hostile` writes.

    `inputs`: hostile ones; a mutant that a strict reader finds whole is `intact` instead. `crashes`: a job that ended
    badly, each of its restarts, and each line without an outcome. `forbidden_requests`: connections to the listeners.
    `without_reason`: inputs that ended neither `rejected` nor `dead`, or without `code: sentence`; `faults` names them.
    `max_rss_mb`: of the Python worker and all its decode children together; `max_process_rss_mb`: of the largest.
    """

    inputs: int
    crashes: int
    forbidden_requests: int
    without_reason: int
    max_rss_mb: float
    by_reason: dict[str, int]
    by_family: dict[str, dict[str, int]]
    mutants: int
    intact: int
    max_process_rss_mb: float
    memory_samples: int
    listeners: list[str]
    bait_requests: int
    questions: int
    seconds: float
    seed: int
    faults: list[Result]

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not (self.crashes or self.forbidden_requests or self.without_reason)


class Campaign:
    """Everything of one run, in one folder.

    Args:
        folder: for input, media and output; must be new.
        photos: encoded photographs, which the fuzzer spoils.
        mutants: how many.
        seed: of the fuzzer.
        share: every how many-th of the other cases is taken, of each family (1: all).
    """

    def __init__(self, folder: Path, photos: Mapping[str, bytes], mutants: int, seed: int, share: int = 1) -> None:
        self.folder = folder
        self._photos = photos
        self._mutants = mutants
        self._seed = seed
        self._share = share

    def run(self, state: Path) -> Summary:
        """Run the job against the stack on `state`; it is started when none runs there."""
        begun = time.monotonic()
        media = self.folder / "input"
        media.mkdir(parents=True)
        listeners = Listeners()
        picture = next(iter(self._photos.values()))
        with closing(listeners), closing(Bait(picture)) as bait, closing(NameServer(addresses.ANSWERS)) as names:
            chosen = self._cases(media, bait, listeners.port)
            spec = self._spec(chosen, bait, listeners.port)
            failed_before = _failures(state)
            code, sampler = self._job(spec, state, f"{BAIT}:{names.port}")
            questions = sum(names.questions.values())
        outcomes = self._outcomes()
        results = [
            Result(each.name, each.family, *_outcome(outcomes, number, each)) for number, each in enumerate(chosen)
        ]
        intact = {
            each.name
            for each, result in zip(chosen, results, strict=True)
            if each.mutant and result.outcome in ("unique", "duplicate") and self._is_whole(each)
        }
        hostile = [result for result in results if result.name not in intact]
        faults = [result for result in hostile if not _has_reason(result)]
        missing = sum(not result.outcome for result in results)
        families: dict[str, Counter[str]] = {}
        for result in hostile:
            families.setdefault(result.family, Counter())[result.reason.partition(":")[0] or result.outcome] += 1
        return Summary(
            inputs=len(hostile),
            crashes=(code not in (0, 3)) + _failures(state) - failed_before + missing,
            forbidden_requests=sum(listeners.calls.values()),
            without_reason=len(faults),
            max_rss_mb=round(sampler.together, 1),
            by_reason=dict(Counter(result.reason.partition(":")[0] or "none" for result in hostile).most_common()),
            by_family={family: dict(counts.most_common()) for family, counts in families.items()},
            mutants=sum(each.mutant for each in chosen),
            intact=len(intact),
            max_process_rss_mb=round(sampler.largest, 1),
            memory_samples=sampler.samples,
            listeners=listeners.addresses,
            bait_requests=bait.calls,
            questions=questions,
            seconds=round(time.monotonic() - begun, 1),
            seed=self._seed,
            faults=faults,
        )

    def _cases(self, media: Path, bait: Bait, forbidden_port: int) -> list[Case]:
        trap = f"127.0.0.1:{forbidden_port}"
        chosen = [
            *self._some(lines.cases()),
            *self._some(paths.cases(media)),
            *self._some(addresses.cases(bait.port, forbidden_port, bait.paths)),
            *self._files(media, "picture", "image", pictures.files()),
            *self._files(media, "clip", "video", clips.files(trap)),
            *self._as_the_other_kind(media),
        ]
        (media / "mutants").mkdir()
        for name, kind, data in mutants(seeds(self._photos), self._mutants, self._seed):
            (media / "mutants" / name).write_bytes(data)
            made = case("mutant", name, kind, f"mutants/{name}")
            chosen.append(msgspec.structs.replace(made, mutant=True))
        return chosen

    def _some(self, found: list[Case]) -> list[Case]:
        return found[:: self._share]

    def _files(self, media: Path, family: str, kind: str, files: Mapping[str, bytes]) -> list[Case]:
        (media / family).mkdir()
        for name, data in files.items():
            (media / family / name).write_bytes(data)
        return self._some([case(family, name, kind, f"{family}/{name}") for name in files])

    def _as_the_other_kind(self, media: Path) -> list[Case]:
        """Whole files under the wrong flag, and posts of which one medium is bad."""
        picture = next(iter(self._photos.values()))
        (media / "whole.jpg").write_bytes(picture)
        (media / "whole.mp4").write_bytes(clips.clip())
        return [
            case("kind", "video-as-image", "image", "whole.mp4"),
            case("kind", "image-as-video", "video", "whole.jpg"),
            case("kind", "post-with-a-bad-part", "post", text="x", media=["whole.jpg", "picture/html"]),
            case("kind", "post-with-a-trap", "post", text="x", media=["whole.jpg", "http://127.0.0.1:1/x.jpg"]),
            case("kind", "post-with-a-secret", "post", text="x", media=["whole.mp4", "../secret.jpg"]),
        ]

    def _spec(self, chosen: list[Case], bait: Bait, forbidden_port: int) -> Path:
        source = self.folder / "input" / "hostile.jsonl"
        source.write_bytes(b"".join(each.line + b"\n" for each in chosen))
        spec = {
            "name": "hostile",
            "source": {"kind": "files", "path": "input/hostile.jsonl"},
            "sink": {"kind": "files", "path": "out"},
            "plugins": PLUGINS,
            "media": {"hosts": addresses.listed(bait.port, forbidden_port), "networks": [f"{BAIT}/32"]},
            "limits": LIMITS,
            "retry": RETRY,
        }
        path = self.folder / "hostile.yaml"
        path.write_text(yaml.safe_dump(spec))
        return path

    def _job(self, spec: Path, state: Path, resolver: str) -> tuple[int, Sampler]:
        command = [sys.executable, "-m", "hostile.job", resolver, "run", str(spec), "--state", str(state), "--json"]
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        with (
            (self.folder / "job.log").open("wb") as log,
            subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stdout=log, stderr=log) as job,
            Sampler(job.pid) as sampler,
        ):
            return job.wait(), sampler

    def _outcomes(self) -> dict[str, dict[str, Any]]:
        files = (self.folder / "out" / "results").glob("*.jsonl")
        found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return {record["material_id"]: record for record in found}

    def _is_whole(self, each: Case) -> bool:
        (medium,) = json.loads(each.line)["media"]
        kind = json.loads(each.line)["kind"]
        return is_whole((self.folder / "input" / medium).read_bytes(), kind)


def _outcome(outcomes: Mapping[str, dict[str, Any]], number: int, each: Case) -> tuple[str, str]:
    """Of a line whose id cannot be read, the outcome goes under its place in the file."""
    found = outcomes.get(each.name) or outcomes.get(f"@hostile.jsonl:{number + 1}")
    return (found["outcome"], found["reason"] or "") if found else ("", "")


def _has_reason(result: Result) -> bool:
    return result.outcome in ("rejected", "dead") and _REASON.fullmatch(result.reason) is not None


def _failures(state: Path) -> int:
    """Tasks of Flink that ever failed, by its own logs: it starts them again, so that the job alone would not tell."""
    logs = [path for path in (state / "log").glob("*") if path.is_file()]
    return sum(len(_FAILED.findall(path.read_text(errors="replace"))) for path in logs)


def photographs() -> dict[str, bytes]:
    """Real photographs, from the archives that the demo pins."""
    from pipeline.demo.sources import default_cache, download, read_media

    return dict(sorted(read_media(download(default_cache()), reviews=0, seed=0).photos.items())[:6])


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder for one campaign."""
    return tempfile.TemporaryDirectory(prefix="sosie-hostile-")
