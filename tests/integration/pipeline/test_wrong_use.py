"""Wrong use answers well: one line with the remedy, the right exit code, no stack trace."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from sosie_system import System, sosie, write_job

RECORD = {"material_id": "w", "kind": "post", "text": "words enough for a text"}


def complaint(*arguments: object, code: int = 2, **environment: str) -> str:
    """Standard error, which must be one line."""
    told = sosie(*arguments, code=code, **environment).stderr.strip()
    assert "Traceback" not in told
    assert "\n" not in told, told
    return told


def test_an_unknown_plugin_names_the_nearest(tmp_path: Path) -> None:
    spec = write_job(tmp_path, [RECORD], plugins=["text-embeding"])
    assert "text-embedding" in complaint("run", spec, "--state", tmp_path / "s")


def test_an_unknown_policy_names_the_nearest(tmp_path: Path) -> None:
    spec = write_job(tmp_path, [RECORD], policy="fead")
    assert "feed" in complaint("run", spec, "--state", tmp_path / "s")


def test_a_typo_in_the_spec_names_the_nearest_key(tmp_path: Path) -> None:
    spec = write_job(tmp_path, [RECORD], polcy="feed")
    assert "did you mean `policy`" in complaint("run", spec, "--state", tmp_path / "s")


def test_a_missing_spec_and_a_missing_source(tmp_path: Path) -> None:
    assert "no job spec" in complaint("run", tmp_path / "none.yaml")
    spec = write_job(tmp_path, [RECORD], source={"kind": "files", "path": "nowhere"})
    assert "does not exist" in complaint("run", spec)


def test_an_unreachable_redis_is_named_with_a_remedy(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = write_job(tmp_path, [RECORD])
    told = complaint("run", spec, "--state", tmp_path / "s", code=2, SOSIE_REDIS=f"redis://127.0.0.1:{port}/0")
    assert "redis" in told.lower()
    assert str(port) in told


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = complaint("up", "--state", tmp_path / "s", "--redis-port", port)
    assert str(port) in told


def test_content_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    assert "sosie up" in complaint("content", "get", "x", "--state", tmp_path / "s")


@pytest.mark.stack
def test_questions_about_the_unknown(system: System, tmp_path: Path) -> None:
    assert "unknown" in sosie("content", "get", "never-seen", "--state", system.state, code=1).stdout
    told = complaint("content", "lookup", "feed-aaaaaaaaaaaaaaaa", "--state", system.state, code=1)
    assert "never minted" in told
    assert "none.jpg" in complaint("content", "search", tmp_path / "none.jpg", "--state", system.state)
    assert "one file or one --text" in complaint("content", "search", "--state", system.state)


@pytest.mark.stack
def test_submit_to_no_cluster(system: System, tmp_path: Path) -> None:
    spec = write_job(tmp_path, [RECORD])
    told = complaint("submit", spec, "--cluster", "http://127.0.0.1:9", "--state", system.state)
    assert "no Flink cluster answers at http://127.0.0.1:9" in told
    assert "not a cluster address" in complaint("submit", spec, "--cluster", "ftp://x", "--state", system.state)
