"""Names of lines whose id cannot be read."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from materials.parsing import readable_id
from pipeline.lines import LinePositions


def positions(root: Path) -> LinePositions:
    return LinePositions(root, lambda line: readable_id(line) is None)


def test_a_broken_line_gets_its_number(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"material_id": "A"}\n{broken\n\xff\xfe\n')
    named = positions(tmp_path)
    assert named.where(str(file), b"{broken") == "a.jsonl:2"
    assert named.where(str(file), b"\xff\xfe") == "a.jsonl:3"


def test_equal_broken_lines_take_their_positions_in_order(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "a.jsonl"
    file.parent.mkdir()
    file.write_bytes(b"{broken\nx\n{broken\r\n")
    named = positions(tmp_path)
    assert [named.where(str(file), b"{broken") for _ in range(2)] == ["sub/a.jsonl:1", "sub/a.jsonl:3"]


def test_a_single_file_source_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_bytes(b"nope\n")
    assert positions(file).where(str(file), b"nope") == "one.jsonl:1"


def test_a_line_that_vanished_is_still_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"nope\n")
    assert positions(tmp_path).where(str(file), b"other") == "a.jsonl:?"


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(st.sampled_from([b"{x", b"{y", b'{"material_id":"A"}', b"", b"[]"]), max_size=12))
def test_every_unreadable_line_gets_a_name_of_its_own(tmp_path_factory: object, lines: list[bytes]) -> None:
    folder: Path = tmp_path_factory.mktemp("lines")  # type: ignore[attr-defined]
    file = folder / "a.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    named = positions(folder)
    bad = [(i, line) for i, line in enumerate(lines, start=1) if line and readable_id(line) is None]
    assert [named.where(str(file), line) for _, line in bad] == [f"a.jsonl:{i}" for i, _ in bad]
