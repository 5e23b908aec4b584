"""A repost calls no model, across processes too; a changed revision, another version or a dead Redis never misleads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import redis
from local_redis import LocalRedis

from materials.errors import Retryable
from materials.records import Feature, Features, Outcome
from model_plugins.runtime.findings import Findings
from pipeline.feature_cache import FeatureCache
from pipeline.projection import Projection

TAGS = Feature.of("tags", np.array([1, 2], np.uint8))
FACES = Feature.of("faces", np.array([3], np.uint8))
BYTES = bytes(range(32))
OTHER = bytes(32)


@pytest.fixture
def url(local_redis: LocalRedis) -> str:
    connection = redis.Redis.from_url(local_redis.url)
    connection.flushall()
    connection.close()
    return local_redis.url


class Models:
    """Computes what it is not told; remembers how often it had to."""

    def __init__(self, **features: Feature) -> None:
        self.features = {f"{name}@1": feature for name, feature in features.items()}
        self.calls: list[set[str]] = []
        self.failures: list[Exception] = []

    async def __call__(self, known: Features) -> Findings:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        if missing := self.features.keys() - known.keys():
            self.calls.append(missing)
        return Findings(self.features | known)


def with_cache(url: str, models: Models, act: Callable[[FeatureCache], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        cache = FeatureCache(url, lambda _kind: set(models.features))
        try:
            return await act(cache)
        finally:
            await cache.close()

    return asyncio.run(go())


def publish(url: str, revision: int, features: Features, stamp: bytes) -> None:
    async def go() -> None:
        projection = Projection(url, "feed", "run")
        outcome = Outcome(material_id="A", revision=revision, kind="image", outcome="unique")
        await projection.publish(outcome, {"A": features}, {"A": stamp})
        await projection.close()

    asyncio.run(go())


def find(cache: FeatureCache, models: Models, stamp: bytes = BYTES) -> Awaitable[Findings]:
    return cache.find("image", stamp, models)


def test_another_process_finds_what_a_material_had(url: str) -> None:
    publish(url, 0, {"tags@1": TAGS}, BYTES)
    models = Models(tags=TAGS)
    assert with_cache(url, models, lambda cache: find(cache, models)).features == {"tags@1": TAGS}
    assert models.calls == []


def test_only_what_is_new_is_computed(url: str) -> None:
    publish(url, 0, {"tags@1": TAGS, "older@1": FACES}, BYTES)
    models = Models(tags=TAGS, faces=FACES)
    found = with_cache(url, models, lambda cache: find(cache, models)).features
    assert found == {"tags@1": TAGS, "faces@1": FACES}, "a feature of a plug-in that is not run any more came along"
    assert models.calls == [{"faces@1"}]


def test_a_revision_with_other_bytes_is_not_mistaken(url: str) -> None:
    publish(url, 0, {"tags@1": TAGS, "faces@1": FACES}, BYTES)
    publish(url, 1, {"tags@1": FACES}, OTHER)
    models = Models(tags=TAGS, faces=FACES)
    assert with_cache(url, models, lambda cache: find(cache, models)).features["tags@1"] == TAGS
    assert models.calls == [{"tags@1", "faces@1"}]
    with_cache(url, models, lambda cache: find(cache, models, OTHER))
    assert models.calls[1:] == [{"faces@1"}], "what the first revision left must not count for the second"


def test_the_same_bytes_under_way_are_computed_once(url: str) -> None:
    models = Models(tags=TAGS)

    async def act(cache: FeatureCache) -> list[Findings]:
        return await asyncio.gather(*[find(cache, models) for _ in range(10)])

    assert [found.features for found in with_cache(url, models, act)] == [{"tags@1": TAGS}] * 10
    assert len(models.calls) == 1


def test_a_failure_is_not_shared(url: str) -> None:
    models = Models(tags=TAGS)
    models.failures = [Retryable("no server")]

    async def act(cache: FeatureCache) -> list[Any]:
        return await asyncio.gather(*[find(cache, models) for _ in range(3)], return_exceptions=True)

    first, *others = with_cache(url, models, act)
    assert isinstance(first, Retryable)
    assert [found.features for found in others] == [{"tags@1": TAGS}] * 2


def test_content_goes_on_without_redis(url: str, local_redis: LocalRedis) -> None:
    models = Models(tags=TAGS)
    local_redis.kill()
    try:
        assert with_cache(url, models, lambda cache: find(cache, models)).features == {"tags@1": TAGS}
    finally:
        local_redis.start()
