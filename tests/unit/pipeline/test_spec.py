"""The job spec: what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from materials.errors import UsageError
from pipeline import spec as specs
from pipeline.flink.environment import settings_of

GOOD = {
    "name": "job",
    "source": {"kind": "files", "path": "in"},
    "sink": {"kind": "files", "path": "out"},
    "plugins": ["text-embedding"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("{}\n")
    return tmp_path


def write(folder: Path, **changes: object) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (GOOD | changes).items() if v is not None}))
    return path


def test_paths_are_relative_to_the_spec(folder: Path) -> None:
    spec = specs.load(write(folder, state="s", media={"roots": ["pictures"], "hosts": []}))
    assert spec.source.path == folder / "in"
    assert spec.sink.path == folder / "out"
    assert spec.state == folder / "s"
    assert spec.media.roots == (folder / "pictures",)


def test_records_gather_for_as_long_as_the_spec_says(folder: Path) -> None:
    for threads, told in ({}, "20"), ({"gather_ms": 5}, "5"):
        settings = settings_of(specs.load(write(folder, threads=threads)), folder)
        assert settings["python.fn-execution.bundle.time"] == told


def test_defaults_are_explained(folder: Path) -> None:
    plan = yaml.safe_load(specs.explain(specs.load(write(folder))))
    assert plan["policy"] == "feed"
    assert plan["mode"] == "streaming"
    assert plan["limits"]["max_frames"] == 240


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plugin": ["x"]}, "unknown key `plugin`; did you mean `plugins`?"),
        ({"media": {"hosts": ["http://img.example.com/"]}}, "is no host name; write 'img.example.com'"),
        ({"source": {"kind": "files", "paht": "in"}}, "unknown key `source.paht`; did you mean `path`?"),
        ({"limits": {"max_byte": 1}}, "did you mean `max_bytes`?"),
        ({"limits": {"max_bytes": 0}}, "`limits.max_bytes` is 0; write more than 0, in bytes (default: 67108864)"),
        ({"name": None}, "`name` is missing"),
        (
            {"name": "a b"},
            "`name` is 'a b'; write letters, digits, `.`, `_` and `-`, a letter or digit first, at most 64",
        ),
        ({"name": 7}, "`name` is 7; write a text; put it into quotation marks"),
        (
            {"checkpoints": 5},
            "`checkpoints` is 5; write keys and values below it, `checkpoints: {interval_s: …}`; known",
        ),
        ({"checkpoints": {"interval_s": "5s"}}, "is '5s'; write a number, in seconds (default: 5.0)"),
        ({"limits": {"max_bytes": "64MB"}}, "is '64MB'; write a whole number, in bytes (default: 67108864)"),
        ({"limits": {"max_bytes": 1.5}}, "`limits.max_bytes` is 1.5; write a whole number, in bytes"),
        ({"retry": {"queue": {"attempts": 0}}}, "`retry.queue.attempts` is 0; write 1 or more (default: 10)"),
        ({"plugins": [7]}, "`plugins.0` is 7; write keys and values below it, `- {name: …}`; known keys: name, need"),
        ({"plugins": [{"name": "a", "hedging": "maybe"}]}, "is 'maybe'; write true or false (default: false)"),
        ({"source": "in"}, "`source` is 'in'; write `source: {kind: files, path: FOLDER}`"),
        ({"tracing": {"otlp": "x y"}}, "`tracing.otlp` is 'x y'; write a collector's address, http://HOST:4318"),
        ({"mode": "turbo"}, "`mode` is 'turbo'; write 'batch' or 'streaming' (default: streaming)"),
        ({"plugins": []}, "`plugins` is []; write a list of at least 1"),
        ({"plugins": ["a", "a"]}, "names a twice"),
        ({"plugins": "text-embedding"}, "`plugins` is 'text-embedding'; write a list, as in [a, b]"),
        ({"source": {"kind": "files", "path": "nowhere"}}, "does not exist"),
        ({"source": {"kind": "files", "path": "in/a.jsonl", "watch": True}}, "needs a folder"),
        ({"source": {"kind": "kafak", "path": "in"}}, "`source.kind` must be one of files, kafka"),
        ({"source": {"kind": "kafka", "path": "in"}}, "unknown key `source.path`"),
        ({"source": {"kind": "kafka", "topci": "x"}}, "unknown key `source.topci`; did you mean `topics`?"),
        ({"sink": {"kind": "kafka", "topic": "a b"}}, "no topic name"),
        ({"parallelism": 0}, "`parallelism` is 0; write 1 or more (default: 1)"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line(folder: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        specs.load(write(folder, **changes))
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy
    assert "nput should" not in caught.value.message
    assert "pattern" not in caught.value.message


@pytest.mark.parametrize("text", ["- a list", "name: [", "\x00", "just words"])
def test_what_is_no_mapping_is_refused(folder: Path, text: str) -> None:
    path = folder / "job.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        specs.load(path)


def test_a_missing_spec_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no job spec at"):
        specs.load(tmp_path / "none.yaml")


def test_a_folder_without_streams_is_refused(folder: Path) -> None:
    (folder / "in" / "a.jsonl").rename(folder / "in" / "a.json")
    with pytest.raises(UsageError, match=r"no \*\.jsonl file"):
        specs.load(write(folder))
