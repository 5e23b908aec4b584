"""Features as they lie in Redis, and the client that reads them in batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
import typer
from local_redis import LocalRedis
from typer.testing import CliRunner

from materials.errors import Retryable
from materials.records import Feature, Outcome
from model_plugins.features import json_feature
from pipeline import lookups
from pipeline.cli import features as command
from pipeline.feature_reader import AsyncFeatureReader, DamagedFeature, FeatureReader
from pipeline.projection import Projection

VECTOR = Feature.of("vector", np.array([0.6, -0.8], np.float32))
LANGUAGE = json_feature.pack("language", {"language": "zh", "score": 0.9, "candidates": []})
GOLDEN = {
    # fixmap of 4: schema, dtype, shape, data (bin 8)
    "vector@1": "84"
    "a6736368656d61"
    "a6766563746f72"
    "a56474797065"
    "a7666c6f61743332"
    "a57368617065"
    "9102"
    "a464617461"
    "c408"
    "9a99193f"
    "cdcc4cbf",
    "language@1": "84"
    "a6736368656d61"
    "a86c616e6775616765"
    "a56474797065"
    "a575696e7438"
    "a57368617065"
    "912d"
    "a464617461"
    "c42d" + b'{"candidates":[],"language":"zh","score":0.9}'.hex(),
}


@pytest.fixture
def store(local_redis: LocalRedis) -> Iterator[Any]:
    connection = redis.Redis.from_url(local_redis.url)
    connection.flushall()
    yield connection
    connection.close()


def publish(url: str, features: dict[str, dict[str, Feature]]) -> None:
    async def go() -> None:
        projection = Projection(url, "feed", "run-1")
        for material_id, found in features.items():
            outcome = Outcome(material_id=material_id, revision=0, kind="post", outcome="unique")
            await projection.publish(outcome, {material_id: found})
        await projection.close()

    asyncio.run(go())


def test_the_bytes_in_redis_are_the_golden_ones(local_redis: LocalRedis, store: Any) -> None:
    publish(local_redis.url, {"A": {"vector@1": VECTOR, "language@1": LANGUAGE}})
    stored = {key.decode(): value.hex() for key, value in store.hgetall("sosie:feat:A").items()}
    assert stored == GOLDEN


def test_the_reader_reads_the_golden_bytes(local_redis: LocalRedis, store: Any) -> None:
    store.hset("sosie:feat:A", mapping={key: bytes.fromhex(value) for key, value in GOLDEN.items()})
    with FeatureReader(local_redis.url) as reader:
        assert reader.get(["A"]) == {"A": {"vector@1": VECTOR, "language@1": LANGUAGE}}
        assert reader.get(["A"], ["vector@1", "other@1"]) == {"A": {"vector@1": VECTOR}}
        assert reader.get(["A"], []) == {"A": {}}


def test_many_materials_take_few_round_trips_and_keep_their_order(local_redis: LocalRedis, store: Any) -> None:
    pipe = store.pipeline(transaction=False)
    ids = [f"M{i}" for i in range(2_500)]
    for number, material_id in enumerate(ids):
        row = Feature.of("vector", np.array([number], np.float32))
        pipe.hset("sosie:feat:" + material_id, "v@1", msgspec.msgpack.encode(row))
    pipe.execute()
    asked = [*reversed(ids), "unknown", ids[0]]
    before = store.info("stats")["total_commands_processed"]
    with FeatureReader(local_redis.url) as reader:
        found = reader.get(asked, ["v@1"])
    assert list(found) == [*reversed(ids), "unknown"]
    assert found["unknown"] == {}
    assert all(found[i]["v@1"].array()[0] == n for n, i in enumerate(ids))
    assert store.info("stats")["total_commands_processed"] - before < len(ids) + 20, "each material is asked for once"

    async def again() -> dict[str, Any]:
        reader = AsyncFeatureReader(local_redis.url)
        try:
            return await reader.get(asked, ["v@1"])
        finally:
            await reader.close()

    assert asyncio.run(again()) == found


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x93\x01\x02",
        bytes.fromhex(GOLDEN["vector@1"])[:-1],
        bytes.fromhex(GOLDEN["vector@1"].replace("9102", "9103")),
        bytes.fromhex(GOLDEN["vector@1"].replace("666c6f61743332", "666c6f61743333")),
    ],
)
def test_a_damaged_value_is_named(local_redis: LocalRedis, store: Any, damaged: bytes) -> None:
    store.hset("sosie:feat:A", "vector@1", damaged)
    with FeatureReader(local_redis.url) as reader, pytest.raises(DamagedFeature, match=r"'vector@1' of 'A'"):
        reader.get(["A"])


def test_a_redis_that_is_away_is_retryable() -> None:
    with FeatureReader("redis://127.0.0.1:1/0") as reader, pytest.raises(Retryable, match="2 materials"):
        reader.get(["A", "B"])


class _Addresses:
    def __init__(self, url: str) -> None:
        self.redis = url


def run(url: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(lookups, "addresses", lambda _: _Addresses(url))
    app = typer.Typer()
    group = typer.Typer()
    command.add_to(group)
    app.add_typer(group, name="content")
    group.callback()(lambda: None)
    return CliRunner().invoke(app, ["content", "features", *arguments], env={"COLUMNS": "200"})


def test_the_command_shows_values_to_people_and_programs(
    local_redis: LocalRedis, store: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(local_redis.url, {"A": {"image-embedding@1": VECTOR, "text-language@1": LANGUAGE}})
    assert run(local_redis.url, monkeypatch, "A").exit_code == 0
    assert run(local_redis.url, monkeypatch, "A", "--plugin", "text-language", "--json").exit_code == 0
    assert run(local_redis.url, monkeypatch, "A", "B").exit_code == 1, "an unknown material is told"


def test_decoded_values() -> None:
    assert command.decoded(VECTOR) == {
        "schema": "vector",
        "dtype": "float32",
        "shape": [2],
        "norm": 1.0,
        "first": [0.6, -0.8],
    }
    assert command.decoded(LANGUAGE)["value"] == {"language": "zh", "score": 0.9, "candidates": []}
    pdq = Feature.of("pdq", np.arange(33, dtype=np.uint8))
    assert command.decoded(pdq)["value"]["quality"] == 32
    face = Feature.of("faces", np.array([[0.1, 0.2, 0.3, 0.4, 0.9] + [0.5] * 10], np.float32))
    assert command.decoded(face)["value"] == [{"box": [0.1, 0.2, 0.3, 0.4], "score": 0.9}]
    json.dumps(command.decoded(Feature.of("keypoints", np.zeros((3, 52), np.uint8))))
    assert command.told({"tags": [{"tag": "cat", "score": 0.912345}, {"tag": "dog", "score": 0.1}]}) == (
        "tags: cat 0.912, dog 0.1"
    )
    assert len(command.told(["word"] * 500)) == 400
