"""What a job spec says of Kafka. Secrets are named and never written: `${NAME}` (environment) or `${file:PATH}`.

A reference is resolved by the Kafka client itself, in the process that connects (Kafka's config providers, KIP-421 and
KIP-887), so that no secret lies in a spec, a plan, a job graph, a checkpoint or a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

SHADED = "org.apache.flink.kafka.shaded."
"""Where Flink's connector keeps its own copy of Kafka's clients."""
_PROVIDERS = "org.apache.kafka.common.config.provider."
_OURS = frozenset(
    {"bootstrap.servers", "group.id", "enable.auto.commit", "auto.offset.reset", "isolation.level", "client.id.prefix"}
)
_SECRET_KEY = re.compile(r"password|secret|\.key$|token", re.IGNORECASE)
_IN_JAAS = re.compile(r"""(?:password|secret|token)\w*\s*=\s*["']?(?!["']?\$\{)[^\s"';]""", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_topic_name(name: str) -> bool:
    """Whether Kafka takes it for a topic's name."""
    return re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) is not None and name not in (".", "..")


def _topic(name: str) -> str:
    if not is_topic_name(name):
        raise ValueError(f"{name!r} is no topic name: 1 to 249 characters of [A-Za-z0-9._-]")
    return name


def _properties(given: dict[str, str]) -> dict[str, str]:
    for key, value in given.items():
        if key in _OURS or key.startswith("config.providers"):
            raise ValueError(f"`{key}` is set by the job itself; leave it out of `properties`")
        plain = _IN_JAAS.search(value) if "jaas" in key else _SECRET_KEY.search(key) and not _REFERENCE.search(value)
        if plain:
            raise ValueError(f"`{key}` holds a secret in plain text; write ${{NAME}} or ${{file:PATH}} in its place")
        for name in _REFERENCE.findall(value):
            _provider_of(name)
    return given


def _text_values(value: Any) -> Any:
    """YAML gives `true` and `1000` where a properties file has text."""
    if not isinstance(value, dict):
        return value
    return {k: str(v).lower() if isinstance(v, bool) else str(v) if isinstance(v, int) else v for k, v in value.items()}


Topic = Annotated[str, AfterValidator(_topic)]
Properties = Annotated[dict[str, str], AfterValidator(_properties)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Connection(_Frozen):
    bootstrap: str = ""
    properties: Properties = {}

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if isinstance(value, dict) and "properties" in value:
            return {**value, "properties": _text_values(value["properties"])}
        return value


class KafkaSource(_Connection):
    """Topics whose records are input lines; images, videos and posts may share one or have their own.

    `bootstrap`: `host:port[,…]`; empty: the stack's own broker. `group`: its committed offsets tell how far the job is;
    default: `sosie-` and the job's name. `start`: where a job begins that has no checkpoint; `committed` begins at the
    earliest record where nothing was committed. `start_at`: RFC 3339 or epoch seconds, for `timestamp`. `bounded`: end
    with the last record that is there when the run starts. `base`: the folder that relative media paths stand in;
    without it they are refused. Event time is the record's own timestamp: `lateness_s` is how late a record may be,
    `idle_s` after how long a silent partition no longer holds the watermark back. `discover_s`: how often new
    partitions are looked for.
    """

    kind: Literal["kafka"]
    topics: Annotated[tuple[Topic, ...], Field(min_length=1)]
    group: str = ""
    start: Literal["earliest", "latest", "committed", "timestamp"] = "committed"
    start_at: datetime | None = None
    bounded: bool = False
    base: str = ""
    lateness_s: Annotated[float, Field(ge=0, lt=86_400)] = 5.0
    idle_s: Annotated[float, Field(gt=0)] = 10.0
    discover_s: Annotated[float, Field(gt=0)] = 30.0

    @model_validator(mode="before")
    @classmethod
    def _one_topic(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        out = dict(value)
        if "topic" in out and "topics" not in out:
            out["topics"] = [out.pop("topic")]
        elif isinstance(out.get("topics"), str):
            out["topics"] = [out["topics"]]
        return out

    @model_validator(mode="after")
    def _start_fits(self) -> Self:
        if (self.start == "timestamp") != (self.start_at is not None):
            raise ValueError("`start: timestamp` and `start_at` go together")
        if self.start_at is not None and self.start_at.tzinfo is None:
            raise ValueError("`start_at` needs a time zone, e.g. 2026-01-31T08:00:00Z")
        if self.start == "latest" and self.bounded:
            raise ValueError("a bounded source that starts at the latest record has nothing to read")
        if len(set(self.topics)) != len(self.topics):
            raise ValueError("`topics` names one twice")
        return self


class KafkaSink(_Connection):
    """Topics that get outcomes, dead letters and features, keyed by `material_id`, at least once.

    `topic`: where results go unless a rule says otherwise (`sosie topics`); `dead`: dead letters, default
    `TOPIC-dead`; `features`: a topic for the feature values themselves, none by default. `functions`: dotted paths
    (`package.module:function`) that a rule may name. `partitions`, `replication`: of topics that are made first;
    `create: false` where the job may not make any.
    """

    kind: Literal["kafka"]
    topic: Topic
    dead: Topic | None = None
    features: Topic | None = None
    functions: tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...] = ()
    create: bool = True
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 2
    replication: Annotated[int, Field(ge=1, le=32)] = 1

    @property
    def dead_topic(self) -> str:
        """Where dead letters go."""
        return self.dead or f"{self.topic}-dead"

    @property
    def topics(self) -> tuple[str, ...]:
        """All that the job writes to while no rule names others."""
        return (self.topic, self.dead_topic, *((self.features,) if self.features else ()))


def _provider_of(reference: str) -> str:
    """`NAME` -> `env:NAME`, `file:/a/b` -> `directory:/a:b`: Kafka's providers of environment and of whole files.

    Raises:
        ValueError: it is neither.
    """
    if reference.startswith("file:"):
        path = PurePosixPath(reference[5:])
        if not path.is_absolute() or ":" in str(path):
            raise ValueError(f"${{{reference}}} must name an absolute path without a colon")
        return f"directory:{path.parent}:{path.name}"
    if not _ENV_NAME.fullmatch(reference):
        raise ValueError(f"${{{reference}}} is neither ${{NAME}} of the environment nor ${{file:PATH}}")
    return f"env:{reference}"


def unset_names(given: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """The names among the references of properties that an environment lacks."""
    names = {name for value in given.values() for name in _REFERENCE.findall(value) if not name.startswith("file:")}
    return sorted(names - set(environment))


def client_properties(bootstrap: str, given: Mapping[str, str], shaded: bool = True) -> dict[str, str]:
    """The properties of a Kafka client, references turned into ones that the client resolves.

    Args:
        bootstrap: `host:port[,…]`.
        given: as the spec has them.
        shaded: for the clients inside Flink's connector.
    """
    out = {key: _REFERENCE.sub(lambda m: f"${{{_provider_of(m[1])}}}", value) for key, value in given.items()}
    if out != dict(given):
        prefix = (SHADED if shaded else "") + _PROVIDERS
        out["config.providers"] = "env,directory"
        out["config.providers.env.class"] = f"{prefix}EnvVarConfigProvider"
        out["config.providers.directory.class"] = f"{prefix}DirectoryConfigProvider"
    if shaded and "sasl.jaas.config" in out:
        out["sasl.jaas.config"] = re.sub(
            r"(?<![\w.])org\.apache\.kafka\.", f"{SHADED}org.apache.kafka.", out["sasl.jaas.config"]
        )
    return {"bootstrap.servers": bootstrap, **out}
