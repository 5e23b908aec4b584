"""Checkpoints beside the writer: the write-ahead file is begun anew, and a failing one costs nothing but its turn."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest
from index_items import image, plain_rankers, vectors

from vector_index import log_checkpoints
from vector_index.engine import Engine

TRIES = 3000


def generation(folder: Path) -> int:
    """How often the write-ahead file was begun anew: its header counts it (sqlite.org/fileformat2.html)."""
    header = (folder / "log.sqlite-wal").read_bytes()[:32]
    return int(struct.unpack(">I", header[12:16])[0])


def test_the_write_ahead_file_is_begun_anew_while_commits_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_checkpoints, "EVERY_CHANGES", 20)
    engine = Engine(tmp_path, plain_rankers())
    first = engine.assign([image("m0", vectors(1)[0])])
    before = generation(tmp_path)
    for number in range(1, TRIES):
        engine.assign([image(f"m{number}", vectors(1, seed=number)[0])])
        if generation(tmp_path) >= before + 3:
            break
    assert generation(tmp_path) >= before + 3
    engine.close()
    again = Engine(tmp_path, plain_rankers())
    assert again.stats().materials == number + 1
    assert again.get(["m0"], "feed")[0] == first[0]
    again.close()


def test_answers_go_on_when_checkpoints_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(path: Path) -> sqlite3.Connection:
        tried.append(path)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(log_checkpoints, "EVERY_CHANGES", 10)
    monkeypatch.setattr(log_checkpoints, "_connect", refuse)
    engine = Engine(tmp_path, plain_rankers())
    for number in range(200):
        assert engine.assign([image(f"m{number}", vectors(1, seed=number)[0])])[0].outcome in ("unique", "duplicate")
        if tried:
            break
    assert engine.assign([image("last", vectors(1, seed=999)[0])])[0].outcome == "unique"
    engine.close()
    assert tried == [tmp_path / "log.sqlite"] * len(tried)
    assert tried
