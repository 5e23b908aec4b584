"""Jars by coordinate and hash: fetched once, tried again, never taken with other bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deploy.jars import maven
from materials.errors import UsageError

BODIES = {f"a{i}": f"jar {i}".encode() for i in range(3)}
JARS = tuple(
    maven.Jar(f"org.example.deep:{name}:1.{i}", hashlib.sha256(body).hexdigest(), len(body))
    for i, (name, body) in enumerate(BODIES.items())
)


@pytest.fixture(autouse=True)
def small_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven, "locked", lambda which: JARS)
    monkeypatch.delenv(maven.MIRROR, raising=False)


def body_of(url: str) -> bytes:
    return BODIES[url.rpartition("/")[2].partition("-")[0]]


def test_a_jar_is_fetched_once_from_mavens_layout(tmp_path: Path) -> None:
    asked: list[str] = []

    def get(url: str) -> bytes:
        asked.append(url)
        return body_of(url)

    said: list[str] = []
    paths = maven.ensure("broker", tmp_path, get=get, say=said.append)
    assert [path.read_bytes() for path in paths] == list(BODIES.values())
    assert f"{maven.CENTRAL}/org/example/deep/a1/1.1/a1-1.1.jar" in asked
    assert len(said) == 1
    assert maven.ensure("broker", tmp_path, get=get, say=said.append) == paths
    assert (len(asked), len(said)) == (3, 1)


def test_a_mirror_may_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for jar in JARS:
        (tmp_path / "mirror" / jar.path).parent.mkdir(parents=True)
        (tmp_path / "mirror" / jar.path).write_bytes(body_of(jar.path))
    monkeypatch.setenv(maven.MIRROR, str(tmp_path / "mirror"))
    assert all(path.is_file() for path in maven.ensure("broker", tmp_path / "cache"))


def test_other_bytes_are_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sha256") as caught:
        maven.ensure("broker", tmp_path, get=lambda url: b"something else")
    assert maven.MIRROR in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_repository_that_is_away_is_tried_again_then_told(tmp_path: Path) -> None:
    waits: list[float] = []
    failures = {jar.name: 2 for jar in JARS}

    def flaky(url: str) -> bytes:
        name = url.rpartition("/")[2]
        if failures[name]:
            failures[name] -= 1
            raise OSError("connection reset")
        return body_of(url)

    maven.ensure("broker", tmp_path / "one", get=flaky, wait=waits.append)
    assert sorted(waits) == [1.0] * 3 + [2.0] * 3

    def gone(url: str) -> bytes:
        raise OSError("no route to host")

    with pytest.raises(UsageError, match="no route to host") as caught:
        maven.ensure("broker", tmp_path / "two", get=gone, wait=waits.append)
    assert "make setup" in caught.value.remedy


def test_a_jar_that_was_cut_short_is_fetched_again(tmp_path: Path) -> None:
    maven.ensure("broker", tmp_path, get=body_of)
    (tmp_path / JARS[0].name).write_bytes(b"j")
    assert maven.ensure("broker", tmp_path, get=body_of)[0].read_bytes() == BODIES["a0"]


def test_the_shipped_lock_names_a_broker_and_a_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    broker, connector = maven.locked("broker"), maven.locked("connector")
    assert {"kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar"} <= {jar.name for jar in broker}
    assert [jar.name for jar in connector] == ["flink-sql-connector-kafka-5.0.0-2.2.jar"]
    assert all(len(jar.sha256) == 64 and jar.bytes > 0 for jar in (*broker, *connector))
