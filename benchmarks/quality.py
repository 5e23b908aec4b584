"""Quality through the whole job: attacked copies are sent after their references, and the answers are scored.

    .venv/bin/python benchmarks/quality.py FOLDER [--kinds image,video,text] [--stream] [--state DIR]

FOLDER holds for each kind `KIND/refs.jsonl` (rows with `ref_id` and `path` or `text`), `KIND/queries.jsonl` (the same
with `query_id`) and `KIND/gt.jsonl` (`query_id`, `ref_id` or null, `attacks`, `strength`, `hard`); paths are relative
to FOLDER. For each kind the references' job and then the queries' job run on one fresh index, with all plug-ins;
predictions are the `candidates` of the queries' outcomes that are references. `--stream` runs `stream.jsonl`
(`post_id`, `type`, `text`, `media`, `ts`, `uid`) on another empty index, and scores its content IDs against
`gt_clusters.jsonl` (`post_id`, `type`, `cluster`).

`--state DIR` keeps the states and results there (it must be empty); without it they are dropped. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.measures import GroupScore, PairScore, Prediction, Truth, score_groups, score_pairs
from materials.records import Outcome
from pipeline.runs import read_results

KINDS = ("image", "video", "text")
PLUGINS = ("image-embedding", "image-pdq", "image-local", "video-embedding", "video-local", "text-embedding")
PARTIAL = frozenset({"clip", "pip", "concat"})
"""Attacks after which a video holds a part of the other, or more: scored as pairs, not as one content ID."""

Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def material(row: Row, key: str, kind: str, folder: Path) -> Row:
    """An input record; its media are named by absolute paths, so that it may stand in any folder."""
    media = row.get("media") or ([row["path"]] if row.get("path") else [])
    return {
        "material_id": row[key],
        "kind": "post" if kind == "text" else kind,
        "text": row.get("text") or "",
        "media": [str(folder / path) for path in media],
        "created_at": row.get("ts"),
        "author_id": str(row.get("uid", "")),
        "biz": "feed",
    }


def run_job(name: str, materials: Iterable[Row], media: Path, work: Path, policy: str) -> tuple[list[Outcome], float]:
    """One job on the state `work/state`; its outcomes, and seconds from submission to its end.

    Raises:
        SystemExit: the job failed, or a line has no outcome.
    """
    records = work / f"{name}.jsonl"
    records.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in materials), encoding="utf-8")
    spec = {
        "name": name,
        "source": {"kind": "files", "path": records.name},
        "sink": {"kind": "files", "path": f"out-{name}"},
        "plugins": list(PLUGINS),
        "policy": policy,
        "media": {"roots": [str(media)]},
    }
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    # A process for each job, as the command line has it: a mini-cluster lives and ends with its process.
    command = [sys.executable, "-m", "pipeline.cli.main", "run", str(path), "--state", str(work / "state"), "--json"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if ended.returncode not in (0, 3):
        raise SystemExit(f"the job {name} ended with {ended.returncode}: {ended.stdout.decode()[-500:]}")
    summary = json.loads(ended.stdout)
    return list(read_results(work / f"out-{name}", summary["run_id"])), float(summary["seconds"])


def predictions(outcomes: Iterable[Outcome], references: frozenset[str]) -> list[Prediction]:
    """What the job said of references; other queries may match too, and are no answer."""
    return [
        Prediction(outcome.material_id, candidate["material_id"], candidate["score"])
        for outcome in outcomes
        for candidate in outcome.candidates
        if candidate["material_id"] in references
    ]


class KindResult(msgspec.Struct, frozen=True):
    """Scores of one kind. `without_hard`: the same without the queries that only look like a reference (other facts
    in the same words), None where there are none. `dead`, `rejected`: queries and references that were not judged."""

    score: PairScore
    without_hard: PairScore | None
    seconds: float
    dead: int
    rejected: int


def run_kind(kind: str, folder: Path, work: Path, policy: str) -> KindResult:
    """References' job, queries' job, scores."""
    work.mkdir(parents=True)
    truths = msgspec.convert(rows(folder / kind / "gt.jsonl"), list[Truth])
    references = [material(row, "ref_id", kind, folder) for row in rows(folder / kind / "refs.jsonl")]
    queries = [material(row, "query_id", kind, folder) for row in rows(folder / kind / "queries.jsonl")]
    stored, first_seconds = run_job(f"{kind}-refs", references, folder, work, policy)
    outcomes, seconds = run_job(f"{kind}-queries", queries, folder, work, policy)
    ended = Counter(outcome.outcome for outcome in [*stored, *outcomes])
    answers = predictions(outcomes, frozenset(one["material_id"] for one in references))
    easy = [truth for truth in truths if not truth.hard]
    without_hard = score_pairs(easy, answers) if len(easy) < len(truths) else None
    score = score_pairs(truths, answers)
    return KindResult(score, without_hard, first_seconds + seconds, ended["dead"], ended["rejected"])


def true_clusters(folder: Path) -> dict[str, dict[str, str]]:
    """Kind -> post -> cluster, of the posts whose content ID is known; without videos that are parts of others."""
    partial = {row["query_id"] for row in rows(folder / "video" / "gt.jsonl") if not PARTIAL.isdisjoint(row["attacks"])}
    clusters: dict[str, dict[str, str]] = {}
    for row in rows(folder / "gt_clusters.jsonl"):
        if row["cluster"] is not None and row.get("material_id") not in partial:
            clusters.setdefault(row["type"], {})[row["post_id"]] = row["cluster"]
    return clusters


def run_stream(folder: Path, work: Path, policy: str) -> tuple[dict[str, GroupScore], float]:
    """The stream's job on an empty index; scores by kind, and seconds."""
    work.mkdir(parents=True)
    given = [material(row, "post_id", row["type"], folder) for row in rows(folder / "stream.jsonl")]
    outcomes, seconds = run_job("stream", given, folder, work, policy)
    found = {o.material_id: o.content_id for o in outcomes if o.content_id}
    return {kind: score_groups(truth, found) for kind, truth in sorted(true_clusters(folder).items())}, seconds


def pair_tables(console: Console, results: Mapping[str, KindResult]) -> None:
    """Scores of all kinds, then each kind by attack."""
    _table(
        console,
        "Copies found by the whole job",
        ("kind", "μAP", "recall@P90", "recall@1", "listed", "queries", "copies", "seconds"),
        [_pair_row(kind, result.score, result.seconds) for kind, result in results.items()]
        + [
            _pair_row(f"{kind}, no hard negatives", result.without_hard, result.seconds)
            for kind, result in results.items()
            if result.without_hard
        ],
    )
    for kind, result in results.items():
        attacks = result.score.by_attack.items()
        lines = [(name, str(a.n), f"{a.recall_at_1:.3f}", f"{a.recall_at_p90:.3f}") for name, a in attacks]
        _table(console, f"{kind} by attack", ("attack", "n", "recall@1", "recall@P90"), lines)


def _pair_row(name: str, score: PairScore, seconds: float) -> tuple[str, ...]:
    figures = (score.uap, score.recall_at_p90, score.recall_at_1, score.max_recall)
    return name, *(f"{f:.3f}" for f in figures), str(score.queries), str(score.positives), f"{seconds:.0f}"


def group_table(console: Console, groups: Mapping[str, GroupScore], seconds: float) -> None:
    """Scores of content IDs."""
    lines = [
        (kind, f"{g.f1:.3f}", f"{g.precision:.3f}", f"{g.recall:.3f}", str(g.n), str(g.largest))
        for kind, g in groups.items()
    ]
    title = f"Content IDs of the stream, B-cubed ({seconds:.0f} s)"
    _table(console, title, ("kind", "F1", "precision", "recall", "materials", "largest group"), lines)


def _table(console: Console, title: str, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def answer(results: Mapping[str, KindResult], groups: Mapping[str, GroupScore]) -> dict[str, Any]:
    """The line for programs."""
    said: dict[str, Any] = {}
    for kind, result in results.items():
        score = result.score
        said[kind] = {
            "uap": round(score.uap, 4),
            "recall_at_p90": round(score.recall_at_p90, 4),
            "recall_at_1": round(score.recall_at_1, 4),
            "max_recall": round(score.max_recall, 4),
            "n": score.queries,
            "dead": result.dead,
            "rejected": result.rejected,
            "seconds": round(result.seconds, 1),
        }
    if groups:
        said["stream"] = {
            kind: {"bcubed_f1": round(g.f1, 4), "precision": round(g.precision, 4), "recall": round(g.recall, 4)}
            for kind, g in groups.items()
        }
    return said


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated; empty: none")
    parser.add_argument("--stream", action="store_true", help="score content IDs too")
    parser.add_argument("--policy", default="feed")
    parser.add_argument("--state", type=Path, help="keep states and results here")
    options = parser.parse_args()
    folder = options.folder.resolve()
    kinds = [kind for kind in options.kinds.split(",") if kind]
    missing = [f"{kind}/{part}.jsonl" for kind in kinds for part in ("refs", "queries", "gt")]
    missing += ["stream.jsonl", "gt_clusters.jsonl", "video/gt.jsonl"] if options.stream else []
    missing = [name for name in missing if not (folder / name).is_file()]
    if missing:
        parser.error(f"{folder} lacks {', '.join(missing)}")
    if options.state and options.state.exists() and any(options.state.iterdir()):
        parser.error(f"{options.state} is not empty; quality is measured on fresh states")
    with tempfile.TemporaryDirectory(prefix="sosie-quality-") as dropped:
        work = (options.state or Path(dropped)).resolve()
        began = time.monotonic()
        results = {kind: run_kind(kind, folder, work / kind, options.policy) for kind in kinds}
        groups, seconds = run_stream(folder, work / "stream", options.policy) if options.stream else ({}, 0.0)
    console = Console(width=None if sys.stdout.isatty() else 100)
    if results:
        pair_tables(console, results)
    if groups:
        group_table(console, groups, seconds)
    console.print(f"{time.monotonic() - began:.0f} s in all, the starts of the stack included")
    print(json.dumps(answer(results, groups)))


if __name__ == "__main__":
    main()
