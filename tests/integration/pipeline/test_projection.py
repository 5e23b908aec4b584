"""Redis as readers find it: keys, bytes, precedence, and a Redis that is away for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
from local_redis import LocalRedis

from materials.errors import Retryable
from materials.records import Feature, Features, Outcome
from pipeline.projection import Projection

VECTOR = Feature.of("vector", np.array([0.5, -2.0], np.float32))


@pytest.fixture
def store(local_redis: LocalRedis) -> Iterator[Any]:
    connection = redis.Redis.from_url(local_redis.url)
    connection.flushall()
    yield connection
    connection.close()


def outcome(material_id: str, kind: Any = "unique", **more: Any) -> Outcome:
    return Outcome(material_id=material_id, revision=0, kind="post", outcome=kind, **more)


def publish(url: str, *writes: tuple[Outcome, dict[str, Features]], policy: str = "feed", **more: Any) -> None:
    """All at once, as the operator does it."""

    async def go() -> None:
        projection = Projection(url, policy, "run-1", **more)
        try:
            await asyncio.gather(*(projection.publish(*write) for write in writes))
        finally:
            await projection.close()

    asyncio.run(go())


def test_a_feature_is_msgpack_that_any_language_reads(local_redis: LocalRedis, store: Any) -> None:
    publish(local_redis.url, (outcome("A"), {"A": {"image-embedding@1": VECTOR}}))
    raw = store.hget("sosie:feat:A", "image-embedding@1")
    assert msgspec.msgpack.decode(raw) == {
        "schema": "vector",
        "dtype": "float32",
        "shape": [2],
        "data": bytes.fromhex("0000003f000000c0"),
    }
    assert msgspec.msgpack.decode(raw, type=Feature) == VECTOR


def test_an_outcome_is_kept_for_each_policy(local_redis: LocalRedis, store: Any) -> None:
    publish(local_redis.url, (outcome("A", content_id="feed-x"), {}))
    publish(local_redis.url, (outcome("A", content_id="copyright-y"), {}), policy="copyright")
    kept = {policy: json.loads(record)["content_id"] for policy, record in store.hgetall("sosie:outcome:A").items()}
    assert kept == {b"feed": "feed-x", b"copyright": "copyright-y"}
    assert msgspec.json.decode(store.hget("sosie:outcome:A", "feed"), type=Outcome) == outcome("A", content_id="feed-x")


@pytest.mark.parametrize("refusal", ["rejected", "dead"])
def test_a_refusal_never_hides_a_good_outcome(local_redis: LocalRedis, store: Any, refusal: str) -> None:
    def kept() -> str:
        return str(json.loads(store.hget("sosie:outcome:A", "feed"))["outcome"])

    publish(local_redis.url, (outcome("A", refusal, reason="x: y"), {}))
    assert kept() == refusal
    publish(local_redis.url, (outcome("A", "duplicate"), {}))
    assert kept() == "duplicate"
    publish(local_redis.url, (outcome("A", refusal, reason="x: y"), {}))
    assert kept() == "duplicate"


def test_a_delete_takes_the_features_of_all_parts(local_redis: LocalRedis, store: Any) -> None:
    names = ["A", "A/0", "A/17", "AB", "B"]
    publish(local_redis.url, (outcome("A"), {name: {"f@1": VECTOR} for name in names}))
    assert store.keys("sosie:feat:*")
    publish(local_redis.url, (outcome("A", "deleted"), {}))
    assert sorted(store.keys("sosie:feat:*")) == [b"sosie:feat:AB", b"sosie:feat:B"]
    assert json.loads(store.hget("sosie:outcome:A", "feed"))["outcome"] == "deleted"


def test_features_live_as_long_as_the_job_says(local_redis: LocalRedis, store: Any) -> None:
    publish(local_redis.url, (outcome("A"), {"A": {"f@1": VECTOR}, "A/0": {}}), ttl_s=600)
    publish(local_redis.url, (outcome("B"), {"B": {"f@1": VECTOR}}))
    assert 0 < store.ttl("sosie:feat:A") <= 600
    assert store.ttl("sosie:feat:B") == -1
    assert not store.exists("sosie:feat:A/0"), "a part without features leaves no key"


def test_many_at_once_share_round_trips_and_are_counted(local_redis: LocalRedis, store: Any) -> None:
    kinds = ["unique"] * 200 + ["duplicate"] * 90 + ["rejected"] * 10
    publish(local_redis.url, *((outcome(f"M{i}", kind), {}) for i, kind in enumerate(kinds)))
    counted = {name: int(count) for name, count in store.hgetall("sosie:job:run-1").items()}
    assert counted == {b"unique": 200, b"duplicate": 90, b"rejected": 10}
    assert store.ttl("sosie:job:run-1") > 0
    assert len(store.keys("sosie:outcome:M*")) == 300
    # every round trip renews the counters' life once
    assert store.info("commandstats")["cmdstat_expire"]["calls"] < 30


def test_a_redis_that_is_away_is_retryable_and_writing_again_is_harmless(local_redis: LocalRedis, store: Any) -> None:
    async def go() -> None:
        projection = Projection(local_redis.url, "feed", "run-2")
        write = (outcome("Z"), {"Z": {"f@1": VECTOR}})
        await projection.publish(*write)
        local_redis.kill()
        with pytest.raises(Retryable, match="Redis did not take 1 outcomes"):
            await projection.publish(*write)
        local_redis.start()
        await projection.publish(*write)
        await projection.close()

    asyncio.run(go())
    assert json.loads(store.hget("sosie:outcome:Z", "feed"))["outcome"] == "unique"
