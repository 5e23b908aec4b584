"""The adapters of other engines: each has a module and a pinned environment, and a log is written before an answer."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import environment, faiss
from benchmarks.peers.logged import Logged
from benchmarks.peers.protocol import module_name

ROOT = Path(__file__).parents[3]
METHODS = {"open", "load", "set_effort", "add_and_search", "close"}


@pytest.mark.parametrize("engine", environment.engines())
def test_an_engine_has_an_adapter(engine: str) -> None:
    tree = ast.parse((ROOT / (module_name(engine).replace(".", "/") + ".py")).read_text())
    [made] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Engine"]
    named = {node.name for node in made.body if isinstance(node, ast.FunctionDef)}
    assert named >= METHODS or [base.id for base in made.bases if isinstance(base, ast.Name)] == ["Logged"]


def test_the_engines_of_the_comparison_are_there() -> None:
    wanted = {
        "faiss",
        "hnswlib",
        "usearch",
        "svs",
        "qdrant-edge",
        "milvus-lite",
        "hnswlib-log",
        "usearch-log",
        "svs-log",
    }
    assert wanted == set(environment.engines())


def test_packages_are_pinned_by_hash() -> None:
    for path in environment.HERE.glob("requirements-*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith((" ", "#"))]
        assert lines
        assert all("==" in line and line.endswith("\\") for line in lines), path.name


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="known: faiss, hnswlib"):
        environment.python_of("nothing")


def test_a_logged_engine_writes_before_it_answers(tmp_path: Path) -> None:
    vectors = np.eye(8, dtype=np.float32)[:4]
    ids = np.arange(4, dtype=np.int64)
    peer = Logged(faiss.Engine())
    peer.open(8, tmp_path, 1, 39)
    peer.load(ids + 100, np.eye(8, dtype=np.float32)[:4])
    rows, scores = peer.add_and_search(ids, vectors, 2)
    assert (tmp_path / "log").read_bytes() == ids.tobytes() + vectors.tobytes()
    assert rows[:, 0].tolist() == [100, 101, 102, 103]
    assert scores.shape == (4, 2)
    peer.close()
