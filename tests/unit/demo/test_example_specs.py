"""The example job specs are valid, and their records are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from materials.errors import Rejected
from materials.parsing import parse_line
from pipeline.spec import load

ROOT = Path(__file__).resolve().parents[3]
SPECS = sorted((ROOT / "examples").rglob("job.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.parent.name)
def test_an_example_spec_loads(path: Path) -> None:
    spec = load(path)
    assert spec.name == path.parent.name
    assert spec.sink.path.parent == spec.source.path.parent == path.parent


def test_there_are_examples() -> None:
    assert {path.parent.name for path in SPECS} == {"texts", "feed"}


def test_the_text_example_has_one_bad_line_and_seven_good_ones() -> None:
    codes = []
    for raw in (ROOT / "examples/texts/input/post.jsonl").read_bytes().splitlines():
        try:
            codes.append(parse_line(raw, "x").kind)
        except Rejected as error:
            codes.append(error.code)
    assert codes == ["post"] * 7 + ["no_content"]
