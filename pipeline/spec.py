"""The job spec: YAML in, a frozen and validated plan out.

Unknown keys are refused with the nearest known one; paths are relative to the spec's folder; `explain` prints the
plan with every default filled in.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator

from materials.errors import UsageError
from pipeline import spec_mistakes
from pipeline.job_settings import Checkpoints, Restart, StateBackend
from pipeline.kafka.settings import KafkaSink, KafkaSource

_PATH_KEYS = {("source", "path"), ("source", "base"), ("sink", "path"), ("state",)}
_KINDS = ("files", "kafka")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FilesSource(_Frozen):
    """A `.jsonl` file, or a folder whose `*.jsonl` files are read. `watch`: go on with files that appear later.

    Writers make a file visible at once: write `NAME.tmp`, then rename to `NAME.jsonl`; lines that are appended to a
    file that was already read are not seen.
    """

    kind: Literal["files"] = "files"
    path: Path
    watch: bool = False


class FilesSink(_Frozen):
    """A folder that gets `results/*.jsonl` and `dead/*.jsonl`, committed with each checkpoint."""

    kind: Literal["files"] = "files"
    path: Path


def _kind(value: Any) -> str:
    """Of a source or sink; files where nothing is said."""
    kind = value.get("kind", "files") if isinstance(value, dict) else getattr(value, "kind", "")
    return kind if isinstance(kind, str) else ""


Source = Annotated[Annotated[FilesSource, Tag("files")] | Annotated[KafkaSource, Tag("kafka")], Discriminator(_kind)]
Sink = Annotated[Annotated[FilesSink, Tag("files")] | Annotated[KafkaSink, Tag("kafka")], Discriminator(_kind)]


class Media(_Frozen):
    """Where media may come from, beside the input file's own folder. `keep`: whether small copies go to `STATE/media`,
    from which a new embedding version can fill its space. `networks`: CIDR of private addresses that a listed host may
    have (an object store of one's own); all others must be public."""

    roots: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    keep: bool = True

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not host or "/" in host or "@" in host or host != host.strip():
                name = host.partition("://")[2].partition("/")[0].rpartition("@")[2] or "img.example.com"
                raise ValueError(f"{host!r} is no host name; write {name!r}, or `name:port`, or `*.name`")
        return value

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)  # its ValueError says what is wrong
        return value


class Limits(_Frozen):
    """Bounds on one medium. Bytes, pixels, seconds."""

    max_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    max_pixels: Annotated[int, Field(gt=0)] = 64_000_000
    max_duration_s: Annotated[float, Field(gt=0)] = 3600.0
    max_frames: Annotated[int, Field(gt=0)] = 240
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    fetch_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    memory_bytes: Annotated[int, Field(ge=768 << 20)] = 2 << 30


class RetryLimits(_Frozen):
    """How long a record whose failure may pass is tried. `attempts`: over all, those inside the operator included;
    `base_s`, `max_s`: of the backoff in the retry queue, its first ceiling and its highest."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 10
    base_s: Annotated[float, Field(gt=0)] = 2.0
    max_s: Annotated[float, Field(gt=0)] = 120.0


class RetryQueue(RetryLimits):
    """Where a record waits once its attempts inside the operator are spent. `max_entries`: a full queue takes no more,
    and records wait in the operators; count it for all jobs that share a Redis."""

    max_entries: Annotated[int, Field(ge=1)] = 100_000


class Retry(_Frozen):
    """Attempts inside the operator, for a failure that passes at once, with full-jitter exponential backoff between
    them; then the queue."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    base_s: Annotated[float, Field(gt=0)] = 2.0
    max_s: Annotated[float, Field(gt=0)] = 10.0
    queue: RetryQueue = RetryQueue()


class Tracing(_Frozen):
    """Which traces `sosie trace` can show, and for how long. `keep`, `duplicates`: shares of materials of which there
    is nothing to tell, and of duplicates; failed, rejected, retried and slow ones (`slow_ms` from entry to outcome, or
    more) are always kept. `max_mb`, `max_days`: of `STATE/traces`. `otlp`: a collector that gets them too,
    `http://HOST:4318/v1/traces`."""

    keep: Annotated[float, Field(ge=0, le=1)] = 1.0
    duplicates: Annotated[float, Field(ge=0, le=1)] = 1.0
    slow_ms: Annotated[float, Field(gt=0)] = 1000.0
    max_mb: Annotated[int, Field(ge=1)] = 256
    max_days: Annotated[float, Field(gt=0)] = 7.0
    otlp: Annotated[str, Field(pattern=spec_mistakes.COLLECTOR)] = ""


class Threads(_Frozen):
    """Caps for a machine that is shared. `decoders`: decode children per kind; `in_flight`: model calls at once;
    `capacity`: records of a kind under way. Each bundle's end waits for its last call, so a small capacity leaves the
    models idle more often. `in_hand`: media of a kind that are decoded and not yet through their models; at least
    what `in_flight` calls take, and what memory holds. `gather_ms`: for so long a bundle takes records; what comes
    later waits for its end."""

    decoders: Annotated[int, Field(ge=1, le=64)] = 1
    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    capacity: Annotated[int, Field(ge=1, le=10_000)] = 800
    in_hand: Annotated[int, Field(ge=1, le=10_000)] = 64
    gather_ms: Annotated[int, Field(ge=1, le=1000)] = 20


class PluginUse(_Frozen):
    """A plug-in and how the job uses it; a bare name stands for one that is required.

    `need`: a material whose `required` plug-in fails is tried again, then `dead`; one whose `optional` plug-in fails
    goes on with that feature missing and marked. `patience_s`: for an optional one. `balancer`, `hedging`, `wire`: how
    its model calls choose a server, whether a slow one gets a second attempt beside it, and what is spoken.
    `deadline_s`: for one model call over all its attempts; more for a model that takes seconds. `retry`: instead of the
    job's `retry.queue`, for records that this plug-in failed on.
    """

    name: Annotated[str, Field(min_length=1)]
    need: Literal["required", "optional"] = "required"
    balancer: str = ""
    hedging: bool = False
    wire: Literal["grpc", "http"] = "grpc"
    patience_s: Annotated[float, Field(gt=0)] = 5.0
    deadline_s: Annotated[float, Field(gt=0)] = 10.0
    retry: RetryLimits | None = None


class Registered(_Frozen):
    """Plug-ins that are registered while the job runs. `take`: `all`, `none`, or their names.

    `prepare_s`, `interpret_s`: seconds after which the child that runs the plug-in's code is killed.
    """

    take: Literal["all", "none"] | tuple[str, ...] = "all"
    need: Literal["required", "optional"] = "optional"
    balancer: str = ""
    hedging: bool = False
    wire: Literal["grpc", "http"] = "grpc"
    patience_s: Annotated[float, Field(gt=0)] = 5.0
    deadline_s: Annotated[float, Field(gt=0)] = 10.0
    prepare_s: Annotated[float, Field(gt=0)] = 2.0
    interpret_s: Annotated[float, Field(gt=0)] = 1.0


class JobSpec(_Frozen):
    """One job. See `docs/job-spec.md`."""

    name: Annotated[str, Field(pattern=spec_mistakes.JOB_NAME)]
    mode: Literal["batch", "streaming"] = "streaming"
    source: Source
    sink: Sink
    plugins: Annotated[tuple[PluginUse, ...], Field(min_length=1)]
    registered: Registered = Registered()
    policy: str = "feed"
    state: Path | None = None
    media: Media = Media()
    limits: Limits = Limits()
    retry: Retry = Retry()
    threads: Threads = Threads()
    tracing: Tracing = Tracing()
    parallelism: Annotated[int, Field(ge=1, le=256)] = 1
    checkpoints: Checkpoints = Checkpoints()
    restart: Restart = Restart()
    state_backend: StateBackend = StateBackend()
    feature_ttl_s: Annotated[int, Field(gt=0)] | None = None

    @property
    def plugin_names(self) -> tuple[str, ...]:
        """As the spec names them: registered names or dotted paths."""
        return tuple(use.name for use in self.plugins)

    @field_validator("plugins", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        return [{"name": each} if isinstance(each, str) else each for each in value] if _is_list(value) else value

    @field_validator("plugins")
    @classmethod
    def _no_plugin_twice(cls, value: tuple[PluginUse, ...]) -> tuple[PluginUse, ...]:
        names = [use.name for use in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice: each plug-in runs once")
        return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def load(path: Path) -> JobSpec:
    """Read a spec; its paths become absolute.

    Raises:
        UsageError: no such file, not YAML, an unknown key (with the nearest known one), a wrong value, a source that
            is not there.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no job spec at {path}", "give the path of a YAML file; `sosie run --help` shows one"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not a readable YAML file: {_one_line(str(error))}", "mend the YAML") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{path} holds no mapping at its top level", "begin with `name: my-job`")
    try:
        spec = JobSpec.model_validate(_absolute(raw, path.resolve().parent))
    except ValidationError as error:
        remedy = "mend that line; `sosie run --explain` prints the plan"
        raise UsageError(f"{path}: {_explain_error(error)}", remedy) from None
    _check_source(spec.source, path)
    return spec


def explain(spec: JobSpec) -> str:
    """The plan as YAML, every default filled in."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _absolute(raw: dict[str, Any], base: Path) -> dict[str, Any]:
    """Paths relative to the spec's folder; anything that is not a string is left for the validator to refuse."""

    def at(value: Any) -> Any:
        return os.path.normpath(base / Path(value).expanduser()) if isinstance(value, str) and value else value

    out = dict(raw)
    for section, key in (k for k in _PATH_KEYS if len(k) == 2):
        if isinstance(out.get(section), dict) and key in out[section]:
            out[section] = {**out[section], key: at(out[section][key])}
    if "state" in out:
        out["state"] = at(out["state"])
    media = out.get("media")
    if isinstance(media, dict) and isinstance(media.get("roots"), list):
        out["media"] = {**media, "roots": [at(root) for root in media["roots"]]}
    return out


def _check_source(source: Source, spec_path: Path) -> None:
    if isinstance(source, KafkaSource):
        return
    if not source.path.exists():
        raise UsageError(
            f"{spec_path}: source.path {source.path} does not exist", "make the folder or mend `source.path`"
        )
    if source.watch and not source.path.is_dir():
        raise UsageError(f"{spec_path}: source.watch needs a folder, {source.path} is a file", "name its folder")
    if source.path.is_dir() and not source.watch and not any(source.path.rglob("*.jsonl")):
        raise UsageError(
            f"{spec_path}: no *.jsonl file in {source.path}", "name the streams `*.jsonl`, one record a line"
        )


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """The innermost model on the way to a place."""
    model: type[BaseModel] = JobSpec
    for at, step in enumerate(location):
        if isinstance(step, int) or step in _KINDS:  # a place in a list of models, or which of two models
            continue
        field = model.model_fields.get(step)
        among = get_args(field.annotation) if field else ()
        chosen = _KINDS.index(str(location[at + 1])) if at + 1 < len(location) and location[at + 1] in _KINDS else 0
        inner = _model_among(among, chosen) if among else field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return model


def _model_among(among: tuple[Any, ...], chosen: int) -> Any:
    """A model without its tag: of a list's entries, of what may be absent, or of two kinds the one that is meant."""
    found = [get_args(each)[0] if hasattr(each, "__metadata__") else each for each in among]
    models = [each for each in found if isinstance(each, type) and issubclass(each, BaseModel)]
    return models[min(chosen, len(models) - 1)] if models else None


def _explain_error(error: ValidationError) -> str:
    """The first error in one line: where, what was there, what would be right."""
    # A misspelt key is also a missing one: the misspelling is what helps.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    where = ".".join(str(step) for step in first["loc"] if step not in _KINDS)
    if first["type"] == "extra_forbidden":
        known = list(_model_at(first["loc"][:-1]).model_fields)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key `{where}`; {hint}"
    if first["type"] == "union_tag_invalid":
        if not isinstance(first.get("input"), dict):
            return f"`{where}` is {first.get('input')!r}; write `{where}: {{kind: files, path: FOLDER}}`"
        return f"`{where}.kind` must be one of {', '.join(_KINDS)}"
    if first["type"] == "missing":
        return f"`{where}` is missing"
    field = _model_at(first["loc"][:-1]).model_fields.get(str(first["loc"][-1]))
    return spec_mistakes.sentence(where, first, field, list(_model_at(first["loc"]).model_fields))


def _one_line(text: str) -> str:
    return " ".join(text.split())
