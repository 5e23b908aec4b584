"""Aliases in a real ZooKeeper: published with a version check, followed, frozen while it is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from model_servers import ZooKeeper, wait_until

from materials.errors import Retryable
from model_plugins.discovery.zookeeper_access import Access
from model_plugins.library.live_aliases import ALIASES_PATH, AliasWatcher, publish, published


@pytest.fixture
def watcher(quorum: ZooKeeper, tmp_path: Path) -> Iterator[AliasWatcher]:
    watching = AliasWatcher(quorum.address, timeout=2.0, snapshot=tmp_path / "run" / "aliases.json")
    yield watching
    watching.close()


def test_workers_follow_what_is_published(quorum: ZooKeeper, watcher: AliasWatcher) -> None:
    heard: list[str] = []
    end = watcher.subscribe(heard.append)
    assert watcher.wait_seen(10)
    assert watcher.version("picture") is None
    assert publish(quorum.address, "picture", lambda: {"production": "1", "canary": "2"})
    assert watcher.wait_for("picture", "1", 10)
    assert watcher.version("picture", "canary") == "2"
    assert not publish(quorum.address, "picture", lambda: {"canary": "2", "production": "1"})
    assert publish(quorum.address, "picture", lambda: {"production": "2"})
    assert watcher.wait_for("picture", "2", 10)
    assert watcher.version("picture", "canary") is None
    wait_until(lambda: heard == ["picture", "picture"])
    end()
    assert published(quorum.address) == {"picture": {"production": "2"}}


def test_of_two_publishers_the_one_with_older_aliases_reads_again(quorum: ZooKeeper) -> None:
    publish(quorum.address, "picture", lambda: {"production": "1"})
    reads: list[str] = []

    def slow() -> dict[str, str]:
        """What the library said before the other publisher wrote, then what it says now."""
        if not reads:
            publish(quorum.address, "picture", lambda: {"production": "3"})
        reads.append("read")
        return {"production": "2" if len(reads) == 1 else "3"}

    publish(quorum.address, "picture", slow)
    assert reads == ["read", "read"]
    assert published(quorum.address) == {"picture": {"production": "3"}}


def test_answers_stand_while_zookeeper_is_away_or_has_forgotten(
    quorum: ZooKeeper, watcher: AliasWatcher, tmp_path: Path
) -> None:
    publish(quorum.address, "picture", lambda: {"production": "4"})
    assert watcher.wait_for("picture", "4", 10)
    quorum.kill()
    wait_until(lambda: not watcher.connected)
    assert watcher.version("picture") == "4"
    with pytest.raises(Retryable, match="could not be published"):
        publish(quorum.address, "picture", lambda: {"production": "5"}, timeout=0.5)
    cold = AliasWatcher(quorum.address, timeout=2.0, snapshot=tmp_path / "run" / "aliases.json")
    assert cold.version("picture") == "4"
    cold.close()
    quorum.forget()
    quorum.start()
    wait_until(lambda: watcher.connected, 30)
    assert publish(quorum.address, "other", lambda: {"production": "1"})
    assert watcher.wait_for("other", "1", 20)
    assert watcher.version("picture") == "4"
    assert publish(quorum.address, "picture", lambda: {"production": "5"})
    assert watcher.wait_for("picture", "5", 20)


def test_a_node_that_makes_no_sense_changes_nothing(quorum: ZooKeeper, watcher: AliasWatcher) -> None:
    publish(quorum.address, "picture", lambda: {"production": "1"})
    assert watcher.wait_for("picture", "1", 10)
    client = KazooClient(quorum.address)
    client.start(timeout=10)
    client.set(f"{ALIASES_PATH}/picture", b"{not json")
    publish(quorum.address, "later", lambda: {"production": "1"})
    assert watcher.wait_for("later", "1", 10)
    assert watcher.version("picture") == "1"
    assert "picture" not in published(quorum.address)
    client.stop()
    client.close()


def test_strangers_cannot_move_a_guarded_alias(quorum: ZooKeeper) -> None:
    ours = Access("sosie", "secret")
    assert publish(quorum.address, "picture", lambda: {"production": "1"}, access=ours)
    with pytest.raises(Retryable, match="could not be published"):
        publish(quorum.address, "picture", lambda: {"production": "6"})
    assert published(quorum.address) == {"picture": {"production": "1"}}
    guarded = AliasWatcher(quorum.address, timeout=2.0, access=ours)
    assert guarded.wait_for("picture", "1", 10)
    guarded.close()


def test_a_node_that_strangers_may_write_is_not_believed(quorum: ZooKeeper) -> None:
    publish(quorum.address, "picture", lambda: {"production": "6"})
    guarded = AliasWatcher(quorum.address, timeout=2.0, access=Access("sosie", "secret"))
    assert guarded.wait_seen(10)
    assert guarded.version("picture") is None
    guarded.close()


def test_a_watcher_without_zookeeper_starts_and_ends(tmp_path: Path) -> None:
    watcher = AliasWatcher("127.0.0.1:9", timeout=1.0, snapshot=tmp_path / "none.json")
    assert not watcher.wait_seen(0.2)
    assert watcher.version("picture") is None
    watcher.close()
    assert not [each for each in threading.enumerate() if each.name == "alias-watcher"]
