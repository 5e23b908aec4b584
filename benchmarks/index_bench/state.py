"""A state folder of the service that holds n materials already, built once and kept outside the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from benchmarks.index_bench.vectors import Vectors, cache_folder
from materials.records import AssignItem, Assignment, Feature
from vector_index import log_schema, snapshot
from vector_index.engine import Engine
from vector_index.ranking.registry import default_rankers
from vector_index.segments.settings import SegmentSettings

FEATURE = "image-embedding@1"
POLICY = "feed"
CHUNK = 10_000
VERSION = 2


def item_of(name: str, vector: Vectors) -> AssignItem:
    """An image as the job sends it, with its embedding alone."""
    return AssignItem(
        material_id=name,
        kind="image",
        policy=POLICY,
        fingerprint=hashlib.blake2b(vector.tobytes(), digest_size=16).digest(),
        features={FEATURE: Feature.of("vector", vector)},
    )


def base_name(row: int) -> str:
    """The id of the n-th stored material."""
    return f"base-{row}"


def cached_state(base: Vectors, memory: int = SegmentSettings().memory) -> Path:
    """The folder, made where it is missing. Every stored material has a content ID of its own: the worst case for the
    tables, and no shortcut for ranking. `memory`: bytes that 8-bit codes may take."""
    codes = "" if memory == SegmentSettings().memory else f"-memory{memory >> 20}"
    name = f"state-{len(base)}-v{VERSION}-log{log_schema.FORMAT}-snapshot{snapshot.FORMAT}{codes}"
    final = cache_folder() / name
    if not final.exists():
        unfinished = cache_folder() / f".{name}.{os.getpid()}.tmp"
        _build(unfinished, base, memory)
        unfinished.rename(final)
    return final


def _build(folder: Path, base: Vectors, memory: int) -> None:
    """Through the log's own statements, without the search for near-duplicates: 1M by `assign` would take an hour."""
    shutil.rmtree(folder, ignore_errors=True)
    engine = Engine(folder, default_rankers(), clock=lambda: 0.0, storage=SegmentSettings(memory=memory))
    log = engine._log
    engine._known[FEATURE] = ("vector", base.shape[1])
    for start in range(0, len(base), CHUNK):
        rows = []
        with log.transaction():
            if not start:
                log.add_space(FEATURE, "vector", base.shape[1])
            for number in range(start, min(start + CHUNK, len(base))):
                item = item_of(base_name(number), base[number])
                row = log.insert_material(item, None)
                content_id = log.found(item, row, 0.0, first=True)
                answer = Assignment(material_id=item.material_id, kind="image", outcome="unique", content_id=content_id)
                log.decide(answer, POLICY, item.fingerprint)
                rows.append((row, item.features))
        engine._learn([], rows)
    engine.settle()  # the cells are trained and all is merged: the state that the service lives in
    engine.snapshot()
    engine.close(take_snapshot=False)


def copied(state: Path, to: Path) -> Path:
    """A copy that a server may write to."""
    shutil.copytree(state, to)
    return to
