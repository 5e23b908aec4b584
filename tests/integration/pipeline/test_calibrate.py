"""`sosie calibrate` against a running index: texts that are stored, pairs of them, thresholds and a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from index_items import fingerprint, free_port, server
from PIL import Image
from typer.testing import CliRunner, Result

from materials.errors import UsageError
from materials.records import AssignItem
from model_plugins.builtin.text_embedding import TextEmbedding
from model_plugins.protocol import TextMedia
from pipeline.cli.main import app
from vector_index.client import IndexClient
from vector_index.policies import policies_of

PLACES = ("青岛", "昆明", "长沙", "西安", "大连", "南京", "成都", "厦门")
COUNT = 40


def text(number: int, copy: bool) -> str:
    place = PLACES[number % len(PLACES)]
    day = f"{number % 12 + 1}月{number % 27 + 1}日{number % 9 + 8}时"
    said = f"{place}图书馆将于{day}举办绘本讲座，名额{number + 20}人，请准时到场。"
    return f"//@小王:{said} http://t.cn/A{number}" if copy else said


def stored(name: str, said: str) -> AssignItem:
    plugin = TextEmbedding()
    prepared = plugin.prepare(TextMedia(text=said))
    assert prepared is not None
    return AssignItem(
        material_id=name,
        kind="post",
        policy="feed",
        fingerprint=fingerprint(said.encode()),
        features={"text-embedding@1": plugin.interpret(prepared)},
        text=said,
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    state = tmp_path_factory.mktemp("state")
    address = f"127.0.0.1:{free_port()}"
    with server(state / "index", int(address.rpartition(":")[2]), "--open-writes"):
        with IndexClient(address) as client:
            client.assign([stored(f"T{n}", text(n, False)) for n in range(COUNT)])
            client.assign([stored(f"C{n}", text(n, True)) for n in range(COUNT)])
        yield address, state


@pytest.fixture
def run(index: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    address, state = index
    # only the index is asked; the others are named as one names a cluster's
    for name, value in (("INDEX", address), ("REDIS", "redis://127.0.0.1:1"), ("ZOOKEEPER", "127.0.0.1:1")):
        monkeypatch.setenv(f"SOSIE_{name}", value)

    def called(*arguments: str) -> Result:
        given = ["calibrate", "--state", str(state), *arguments]
        return CliRunner().invoke(app, given, env={"COLUMNS": "140"}, catch_exceptions=True)

    return called


def pairs_file(folder: Path, same: int, different: int) -> Path:
    rows = [{"a": f"T{n}", "b": f"C{n}", "same": True} for n in range(same)]
    rows += [{"a": f"T{n}", "b": f"C{(n + 8) % COUNT}", "same": False} for n in range(different)]
    path = folder / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_thresholds_are_fitted_shown_and_written(run: Any, index: tuple[str, Path], tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path, COUNT, COUNT)
    page, picture = tmp_path / "curve.html", tmp_path / "curve.png"
    told = run("--pairs", str(pairs), "--precision", "0.9", "--out", str(page), "--json")
    assert told.exit_code == 0, told.output
    fit = json.loads(told.stdout)["kinds"]["post"]
    assert (fit["curve"]["same"], fit["curve"]["different"]) == (COUNT, COUNT)
    assert fit["chosen"]["precision_low"] >= 0.9
    assert fit["chosen"]["recall"] > 0.9
    assert "<polyline" in page.read_text()
    assert run("--pairs", str(pairs), "--out", str(picture)).exit_code == 0
    with Image.open(picture) as drawn:
        assert drawn.size == (640, 360)
        assert len(drawn.getcolors(100_000) or []) > 5
    shown = run("--pairs", str(pairs), "--write")
    assert "precision" in shown.output
    written = yaml.safe_load((index[1] / "index" / "policies.yaml").read_text())
    threshold = written["policies"]["feed"]["thresholds"]["post"]
    assert threshold == pytest.approx(fit["chosen"]["threshold"], abs=1e-4)
    assert policies_of(index[1] / "index")["feed"].centre_threshold("post") == threshold


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{}", "1: `same`"),
        ('{"a": "T1", "b": "T1", "same": true}', "paired with itself"),
        ('{"a": {"text": "x"}, "b": {"text": "y"}, "same": true}', "neither side"),
        ('{"a": "T1", "b": 3, "same": true}', "`b` is no material id"),
        ('{"a": "T1", "b": "gone", "same": true}', "no material gone"),
        ("nonsense", "1: "),
        ("", "holds no pair"),
    ],
)
def test_a_line_that_is_no_pair_is_named(run: Any, tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(line + "\n")
    failed = run("--pairs", str(path))
    assert isinstance(failed.exception, UsageError)
    assert words in failed.exception.message


def test_too_few_pairs_and_wrong_use_are_refused(run: Any, tmp_path: Path) -> None:
    few = pairs_file(tmp_path, 5, 5)
    for arguments, words in (
        (("--pairs", str(few)), "too few"),
        (("--pairs", str(few), "--precision", "1.5"), "between 0 and 1"),
        (("--pairs", str(few), "--policy", "feet"), "unknown policy"),
        (("--pairs", str(few), "--out", "curve.pdf"), ".png or .html"),
        (("--pairs", str(tmp_path / "none.jsonl")), "cannot be read"),
    ):
        failed = run(*arguments)
        assert isinstance(failed.exception, UsageError), arguments
        assert words in failed.exception.message
