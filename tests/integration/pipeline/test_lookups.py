"""Questions of a running system, each against the one real server that answers it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import redis
from index_items import free_port, image, near, vectors
from local_redis import LocalRedis
from scenes import scene, write_jpeg
from sosie_system import System

from deploy.addresses import Addresses
from materials.errors import Permanent, UsageError
from materials.records import Outcome
from pipeline import lookups
from pipeline.envelope import result_line
from pipeline.whereabouts import NEVER_SEEN, whereabouts
from vector_index.client import IndexClient

V = vectors(4, dim=256)


def test_outcomes_by_material_and_policy(local_redis: LocalRedis) -> None:
    record = Outcome(material_id="A", revision=2, kind="post", outcome="unique", content_id="feed-x")
    with redis.Redis.from_url(local_redis.url) as store:
        store.hset("sosie:outcome:A", mapping={"feed": result_line(record), "copyright": result_line(record)})
    found = lookups.outcomes(local_redis.url, ["nobody", "A"])
    assert list(found) == ["nobody", "A"]
    assert found["nobody"] == {}
    assert sorted(found["A"]) == ["copyright", "feed"]
    assert (found["A"]["feed"]["revision"], found["A"]["feed"]["content_id"]) == (2, "feed-x")


def test_where_a_material_is_that_has_no_content_id(local_redis: LocalRedis) -> None:
    bad = Outcome(material_id="M1", revision=0, kind="image", outcome="rejected", reason="missing_file: gone")
    good = Outcome(material_id="P1", revision=0, kind="post", outcome="unique", content_id="feed-x")
    with redis.Redis.from_url(local_redis.url) as store:
        store.hset("sosie:outcome:M1", "feed", result_line(bad))
        store.hset("sosie:outcome:P1", "feed", result_line(good))
    told = whereabouts(local_redis.url, ["M1", "P1", "P1/0", "nobody", "nobody/3"])
    assert told == {
        "M1": "was rejected (missing_file: gone), so it has no content ID: sosie trace M1",
        "P1/0": "a medium of P1, decided with it: sosie content history P1/0",
        "nobody": NEVER_SEEN,
        "nobody/3": NEVER_SEEN,
    }


def test_a_redis_that_does_not_answer_is_named() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(UsageError) as caught:
        lookups.outcomes(url, ["A"])
    assert url in caught.value.message
    assert "sosie status" in caught.value.remedy


def test_content_ids_and_their_members(index_address: str) -> None:
    with IndexClient(index_address) as client:
        founder, copy = client.assign([image("l-1", V[0]), image("l-2", near(V[0], 0.995))])
    assert copy.content_id == founder.content_id
    assert lookups.canonical(index_address, founder.content_id) == founder.content_id
    assert lookups.members(index_address, founder.content_id) == ["l-1", "l-2"]
    with pytest.raises(Permanent, match="feed-aaaaaaaaaaaaaaaa was never minted"):
        lookups.canonical(index_address, "feed-aaaaaaaaaaaaaaaa")


def test_addresses_of_the_running_stack_else_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        lookups.addresses(tmp_path)
    assert caught.value.remedy == f"start it: sosie up --state {tmp_path}"
    monkeypatch.setenv("SOSIE_REDIS", "redis://r:1/0")
    monkeypatch.setenv("SOSIE_INDEX", "i:2")
    with pytest.raises(UsageError):
        lookups.addresses(tmp_path)
    monkeypatch.setenv("SOSIE_ZOOKEEPER", "z:3")
    assert lookups.addresses(tmp_path) == Addresses(zookeeper="z:3", redis="redis://r:1/0", index="i:2", triton="")


@pytest.mark.stack
def test_addresses_of_a_running_stack_also_for_programs(system: System) -> None:
    assert lookups.addresses(system.state) == system.addresses
    assert system.ask("up") == msgspec.to_builtins(system.addresses)
    told = system.ask("status")
    assert told["state"] == str(system.state)
    assert {part["name"]: part["state"] for part in told["parts"]} == dict.fromkeys(
        ("supervisor", "zookeeper", "redis", "index", "triton", "announcer", "gateway", "retry-pump"), "running"
    )


@pytest.mark.stack
def test_search_by_words_and_by_a_file(system: System, tmp_path: Path) -> None:
    assert lookups.search_text(system.addresses, "", "feed") == []
    unseen = write_jpeg(tmp_path / "unseen.jpg", scene(77))
    found = lookups.search_file(system.addresses, unseen, "feed")
    assert [candidate.score for candidate in found] == sorted((c.score for c in found), reverse=True)
    page = tmp_path / "page.jpg"
    page.write_text("<html></html>")
    with pytest.raises(UsageError, match="page"):
        lookups.search_file(system.addresses, page, "feed")
    with pytest.raises(UsageError, match="gone"):
        lookups.search_file(system.addresses, tmp_path / "gone.mp4", "feed")
