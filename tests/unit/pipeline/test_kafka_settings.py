"""What a spec may say of Kafka, and how secrets stay references."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from pipeline import spec as specs
from pipeline.kafka.settings import SHADED, KafkaSink, KafkaSource, client_properties

JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="{}";'


def source(**changes: object) -> KafkaSource:
    return KafkaSource.model_validate({"kind": "kafka", "topics": ["posts"]} | changes)


def refused(folder: Path, **changes: object) -> str:
    spec = {
        "name": "job",
        "source": {"kind": "kafka", "topics": ["posts"]} | changes,
        "sink": {"kind": "kafka", "topic": "results"},
        "plugins": ["text-embedding"],
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(UsageError) as caught:
        specs.load(folder / "job.yaml")
    return caught.value.message


def test_one_topic_or_several() -> None:
    assert KafkaSource.model_validate({"kind": "kafka", "topic": "posts"}).topics == ("posts",)
    assert source(topics=["a", "b"]).topics == ("a", "b")
    assert source(topics="a").topics == ("a",)


def test_a_sink_names_its_dead_letters_after_its_topic() -> None:
    sink = KafkaSink(kind="kafka", topic="results", features="features")
    assert sink.topics == ("results", "results-dead", "features")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"topics": []}, "topics"),
        ({"topics": ["a", "a"]}, "twice"),
        ({"topics": ["a b"]}, "no topic name"),
        ({"topics": [".."]}, "no topic name"),
        ({"start": "timestamp"}, "go together"),
        ({"start": "earliest", "start_at": 5}, "go together"),
        ({"start": "timestamp", "start_at": "2026-01-31T08:00:00"}, "time zone"),
        ({"start": "latest", "bounded": True}, "nothing to read"),
        ({"properties": {"group.id": "x"}}, "set by the job itself"),
        ({"properties": {"config.providers": "env"}}, "set by the job itself"),
        ({"properties": {"ssl.key.password": "hunter2"}}, "plain text"),
        ({"properties": {"ssl.truststore.password": "hunter2"}}, "plain text"),
        ({"properties": {"sasl.jaas.config": JAAS.format("hunter2")}}, "plain text"),
        ({"properties": {"sasl.jaas.config": JAAS.format("${file:relative}")}}, "absolute path"),
        ({"properties": {"sasl.jaas.config": JAAS.format("${a-b}")}}, "neither"),
    ],
)
def test_a_wrong_setting_is_refused_and_its_value_not_told(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    message = refused(tmp_path, **changes)
    assert words in message
    assert "hunter2" not in message


def test_references_become_ones_that_kafka_resolves() -> None:
    given_properties = source(
        properties={"sasl.jaas.config": JAAS.format("${SOSIE_KAFKA_P}"), "ssl.key.password": "${file:/run/secrets/key}"}
    ).properties
    ready = client_properties("h:1", given_properties)
    assert ready["bootstrap.servers"] == "h:1"
    assert ready["ssl.key.password"] == "${directory:/run/secrets:key}"
    assert 'password="${env:SOSIE_KAFKA_P}"' in ready["sasl.jaas.config"]
    assert ready["sasl.jaas.config"].startswith(f"{SHADED}org.apache.kafka.common")
    assert ready["config.providers"] == "env,directory"
    plain = client_properties("h:1", given_properties, shaded=False)
    assert plain["sasl.jaas.config"].startswith("org.apache.kafka.common")
    assert plain["config.providers.env.class"].startswith("org.apache.kafka.common")


def test_without_a_reference_no_provider_is_asked() -> None:
    assert client_properties("h:1", source(properties={"client.rack": "a", "check.crcs": True}).properties) == {
        "bootstrap.servers": "h:1",
        "client.rack": "a",
        "check.crcs": "true",
    }


@given(st.text(alphabet="abcXYZ019_", min_size=1, max_size=12).filter(lambda name: not name[0].isdigit()))
def test_any_name_of_a_variable_is_a_reference(name: str) -> None:
    ready = client_properties("h:1", source(properties={"ssl.key.password": f"${{{name}}}"}).properties)
    assert ready["ssl.key.password"] == f"${{env:{name}}}"


def test_the_plan_tells_references_and_never_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOSIE_KAFKA_P", "hunter2")
    job = specs.JobSpec.model_validate(
        {
            "name": "job",
            "source": {
                "kind": "kafka",
                "topic": "a",
                "properties": {"sasl.jaas.config": JAAS.format("${SOSIE_KAFKA_P}")},
            },
            "sink": {"kind": "kafka", "topic": "b"},
            "plugins": ["text-embedding"],
        }
    )
    assert "hunter2" not in specs.explain(job) + job.model_dump_json()
    assert specs.JobSpec.model_validate_json(job.model_dump_json()) == job
