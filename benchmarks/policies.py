"""Policies on copies that calibration never saw.

    python -m benchmarks.policies --fit FOLDER… [--judge FOLDER…] [--kinds image…] [--queries N] [--cache DIR] [--write]

FOLDERs are benchmark sets as `benchmarks.quality` takes them; what is fitted on the first ones is judged on the others,
which are made with other seeds; without `--judge` every second query is fitted on and the rest judged. References are
stored in an engine in this process, every query is searched, and each candidate is a pair: of same content where it is
what the query was copied from. A copy whose source is not among the candidates counts as missed. Fitted are one line
for each ranker (`vector_index/data/calibration.json`) and the thresholds that each policy's precision asks for;
`--write` stores both in the package. The last line is a JSON object.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import hashlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.bench_sets import KINDS, BenchSet, Item, load
from materials.errors import UsageError
from materials.records import AssignItem, Kind
from vector_index.calibration.curve import Curve, Point, ScoredPair, curve, threshold_for
from vector_index.calibration.platt import Line, fit_line, log_odds
from vector_index.calibration.reliability import reliability
from vector_index.engine import Engine
from vector_index.ranking.post import PostRule
from vector_index.ranking.protocol import Ranker
from vector_index.ranking.registry import default_rankers
from vector_index.ranking.text import TextContainment

DATA = Path(__file__).resolve().parents[1] / "vector_index" / "data"
BATCH = 64
TOP = 10


class Wanted(NamedTuple):
    """What a policy has to reach on unseen pairs. `kinds`: those that it is judged by."""

    precision: float
    recall: float
    kinds: tuple[Kind, ...]


WANTED: Mapping[str, Wanted] = {
    "feed": Wanted(0.90, 0.90, ("image", "post")),
    "video-dedup": Wanted(0.95, 0.80, ("video",)),
    "copyright": Wanted(0.99, 0.70, ("image", "post", "video")),
}
LIKELY, SURE = 0.5, 0.9
"""No pair that is more likely different joins, and a sure one does (posts with media score 0.975 at most), where both
what is asked for allow it."""
WELL_CALIBRATED = 0.005
"""Expected calibration error on the fit's own pairs up to which a ranker is taken at its word."""
CONFIDENCES = (0.95, 0.9, 0.8, 0.7, 0.5)
CLAIM = 0.9999
"""The share of copies that a production copyright desk says it recognises."""


def as_item(one: Item, kind: Kind, policy: str, biz: str = "") -> AssignItem:
    """A material as the index takes it."""
    fingerprint = hashlib.blake2b(one.name.encode(), digest_size=16).digest()
    return AssignItem(
        material_id=one.name,
        kind=kind,
        policy=policy,
        fingerprint=fingerprint,
        features=one.features,
        text=one.text,
        biz=biz,
    )


def uncalibrated() -> dict[Kind, Ranker]:
    """The rankers that ship, without what the last fit made of their scores."""
    return {**default_rankers(), "post": PostRule(TextContainment(line=Line()))}


def ranker_names() -> dict[Kind, str]:
    """Whose scores are calibrated: of posts, their texts'."""
    return {**{kind: ranker.name for kind, ranker in default_rankers().items()}, "post": TextContainment.name}


def thinned(given: BenchSet, queries: int) -> BenchSet:
    """The first queries, what they were copied from, and as many other references."""
    asked = given.queries[:queries]
    wanted = {one.content for one in asked}
    others = [one for one in given.references if one.name not in wanted][:queries]
    kept = {one.name for one in others} | wanted
    return BenchSet(given.kind, [one for one in given.references if one.name in kept], asked, given.attacks)


def judged(given: BenchSet) -> list[ScoredPair]:
    """All candidates of all queries by their raw scores, and the copies that were not found."""
    pairs: list[ScoredPair] = []
    with tempfile.TemporaryDirectory(prefix="sosie-policies-") as folder:
        engine = Engine(Path(folder), uncalibrated(), lines={})
        try:
            for start in range(0, len(given.references), BATCH):
                engine.assign([as_item(one, given.kind, "feed") for one in given.references[start : start + BATCH]])
            stored = {one.name for one in given.references}
            for query in given.queries:
                found = engine.search(as_item(query, given.kind, "feed"), TOP) if usable(query, given.kind) else []
                pairs += [ScoredPair(one.score, one.material_id == query.content) for one in found]
                if query.content in stored and all(one.material_id != query.content for one in found):
                    pairs.append(ScoredPair(0.0, True))
        finally:
            engine.close(take_snapshot=False)
    return pairs


def usable(one: Item, kind: Kind) -> bool:
    """A medium that could not be decoded asks nothing."""
    return bool(one.features) or kind == "post"


def mapped(pairs: Sequence[ScoredPair], line: Line) -> list[ScoredPair]:
    """The same pairs, their scores made probabilities."""
    return [ScoredPair(line.probability(pair.score), pair.same) for pair in pairs]


class Fit(NamedTuple):
    """A policy's threshold for a kind; `sure`: the confidence that the pairs could give it."""

    threshold: float
    sure: float


def fit_threshold(pairs: Sequence[ScoredPair], wanted: Wanted) -> Fit:
    """Between what the precision and what the recall ask for, half-way in log-odds, where there is room between them:
    so that both hold on other pairs. At the highest confidence that the pairs allow.

    Raises:
        UsageError: not even the counted precision is reached.
    """
    for confidence in CONFIDENCES:
        seen = curve(pairs, confidence)
        try:
            least = threshold_for(seen, wanted.precision).threshold
        except UsageError:
            if confidence == CONFIDENCES[-1]:
                raise
            continue
        most = max((p.threshold for p in seen.points if p.recall_low >= wanted.recall), default=least)
        if most <= least:
            return Fit(round(least, 4), confidence)
        low, high = log_odds(np.array([least, most])).tolist()
        middle = 1 / (1 + math.exp(-(low + high) / 2))
        return Fit(round(min(max(middle, min(LIKELY, most)), max(SURE, least)), 4), confidence)
    raise AssertionError("the last confidence returns or raises")


def gather(
    folders: Sequence[Path],
    kinds: Sequence[str],
    cache: Path,
    queries: int,
    kept: Path | None,
    half: int | None = None,
) -> dict[Kind, list[ScoredPair]]:
    """By kind, the raw pairs of all folders that have it; out of the folder `kept`, where they lie there already.

    Args:
        half: 0 or 1 takes every second query only.
    """
    found: dict[Kind, list[ScoredPair]] = {}
    for folder in folders:
        for name in kinds:
            given = load(folder.resolve(), name, cache)
            if given is not None:
                if half is not None:
                    given = BenchSet(given.kind, given.references, given.queries[half::2], given.attacks)
                ending = "" if half is None else f"-{half}"
                file = None if kept is None else kept / f"pairs-{folder.name}-{name}-{queries}{ending}.msgpack"
                if file is not None and file.is_file():
                    pairs = msgspec.msgpack.decode(file.read_bytes(), type=list[ScoredPair])
                else:
                    pairs = judged(thinned(given, queries))
                if file is not None:
                    file.write_bytes(msgspec.msgpack.encode(pairs))
                found.setdefault(given.kind, []).extend(pairs)
    return found


def row_of(policy: str, kind: Kind, fit: Fit, seen: Curve) -> dict[str, Any]:
    """One line of the result: the threshold on pairs that it was not fitted on."""
    point: Point = seen.at(fit.threshold)
    wanted = WANTED[policy]
    return {
        "policy": policy,
        "kind": kind,
        "threshold": fit.threshold,
        "fit_confidence": fit.sure,
        "precision": round(point.precision, 4),
        "precision_low": round(point.precision_low, 4),
        "recall": round(point.recall, 4),
        "recall_low": round(point.recall_low, 4),
        "recall_high": round(point.recall_high, 4),
        "same": seen.same,
        "different": seen.different,
        "met": point.precision >= wanted.precision and point.recall >= wanted.recall,
        "gap_to_claim": round(CLAIM - point.recall, 4),
    }


def calibrations(
    fitted: Mapping[Kind, Sequence[ScoredPair]], unseen: Mapping[Kind, Sequence[ScoredPair]]
) -> dict[str, dict[str, Any]]:
    """By ranker: its line, and the calibration error on unseen pairs without and with it."""
    names = ranker_names()
    stored: dict[str, dict[str, Any]] = {}
    for kind, pairs in fitted.items():
        off = reliability(pairs).expected_error
        line = Line() if off <= WELL_CALIBRATED else fit_line(pairs)
        others = unseen.get(kind, [])
        stored[names[kind]] = {
            "line": {"slope": round(line.slope, 4), "shift": round(line.shift, 4)},
            "fitted_pairs": len(pairs),
            "unseen_pairs": len(others),
            "unseen_error_before": round(reliability(others).expected_error, 5),
            "unseen_error_after": round(reliability(mapped(others, line)).expected_error, 5),
        }
    return stored


def show(console: Console, lines: Sequence[dict[str, Any]]) -> None:
    """The rows as a table."""
    table = Table(title="Policies on pairs that calibration never saw", title_justify="left")
    for column in ("policy", "kind", "threshold", "precision", "(95 % ≥)", "recall", "(95 % ≥)", "pairs", "gap", "met"):
        table.add_column(column)
    for one in lines:
        table.add_row(
            one["policy"],
            one["kind"],
            f"{one['threshold']:.3f}",
            f"{one['precision']:.3f}",
            f"{one['precision_low']:.3f}",
            f"{one['recall']:.3f}",
            f"{one['recall_low']:.3f}",
            f"{one['same']} + {one['different']}",
            f"{one['gap_to_claim']:.3f}",
            "yes" if one["met"] else "no",
        )
    console.print(table)


def write(lines: Sequence[dict[str, Any]], stored: Mapping[str, Any]) -> None:
    """Thresholds, what they reached, and the rankers' lines into the package."""
    path = DATA / "policies.yaml"
    head = path.read_text("utf-8").partition("policies:")[0]
    policies = yaml.safe_load(path.read_text("utf-8"))
    for one in lines:
        policy = policies["policies"][one["policy"]]
        policy["thresholds"][one["kind"]] = one["threshold"]
        measured = {key: one[key] for key in ("precision", "recall", "same", "different")}
        policy.setdefault("measured", {})[one["kind"]] = {**measured, "by": "benchmarks/policies.py"}
    path.write_text(head + yaml.safe_dump(policies, sort_keys=False, allow_unicode=True, width=120), "utf-8")
    kept = json.loads((DATA / "calibration.json").read_text("utf-8"))
    (DATA / "calibration.json").write_text(json.dumps({**kept, **stored}, indent=2) + "\n", "utf-8")


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=Path, nargs="+", required=True)
    parser.add_argument("--judge", type=Path, nargs="+", default=[], help="none: the other half of the queries")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sosie-bench-features")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--queries", type=int, default=1000, metavar="N", help="of each kind of each folder")
    parser.add_argument("--pairs", type=Path, help="keep scored pairs in this folder; good until a ranker changes")
    parser.add_argument("--write", action="store_true", help="store the fit in the package")
    options = parser.parse_args()
    if {path.resolve() for path in options.fit} & {path.resolve() for path in options.judge}:
        parser.error("a folder is judged that was fitted on")
    given = options.kinds, options.cache, options.queries, options.pairs
    if options.judge:
        raw, unseen = (gather(folders, *given) for folders in (options.fit, options.judge))
    else:
        raw, unseen = (gather(options.fit, *given, half) for half in (0, 1))
    stored = calibrations(raw, unseen)
    names = ranker_names()
    line = {kind: msgspec.convert(stored[names[kind]]["line"], Line) for kind in raw}
    lines = [
        row_of(policy, kind, fit_threshold(mapped(raw[kind], line[kind]), wanted), seen)
        for policy, wanted in WANTED.items()
        for kind in KINDS.values()
        if kind in raw and kind in unseen
        for seen in [curve(mapped(unseen[kind], line[kind]))]
    ]
    show(Console(width=110), lines)
    if options.write:
        write(lines, stored)
    print(json.dumps({"policies": lines, "calibration": stored}))


if __name__ == "__main__":
    main()
