"""`sosie index stats|verify|snapshot|restore` on a folder that no service has open, and on one that is open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_items import image, near, plain_rankers, vectors, video
from typer.testing import CliRunner

from materials.errors import SosieError, UsageError
from pipeline.cli.main import app
from vector_index.engine import Engine
from vector_index.expiry import expired
from vector_index.segments.settings import SegmentSettings
from vector_index.server import exclusive

SMALL = SegmentSettings(flat_limit=100, seal_rows=64, least_sealed=16, disk_reserve=0, cell_margin=2)
V = vectors(400, seed=2)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder whose index was used: sealed segments, removed rows, a video, and a row after the snapshot."""
    engine = Engine(tmp_path / "index", plain_rankers(), storage=SMALL)
    for start in range(0, 300, 50):
        engine.assign([image(f"m{i}", V[i]) for i in range(start, start + 50)])
    engine.assign([video("film", V[300:320])])
    engine.settle()
    engine.assign([image("m3", V[350], revision=1)])
    engine.snapshot()
    engine.assign([image("late", V[351])])
    engine.close(take_snapshot=False)
    return tmp_path


def sosie(*arguments: object, state: Path, code: int = 0) -> Any:
    """What a command says with `--json`; an error of ours is raised as it is."""
    done = CliRunner().invoke(app, ["index", *map(str, arguments), "--state", str(state), "--json"])
    if isinstance(done.exception, SosieError):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.stdout[done.stdout.index("{\n") :])  # an engine in this process logs before it


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replacement = path.with_name(path.name + ".new")  # the file may be linked elsewhere
    replacement.write_bytes(bytes(content))
    replacement.rename(path)


def test_stats_of_a_folder(state: Path) -> None:
    told = sosie("stats", state=state)
    assert (told["running"], told["materials"]) == (False, 302)
    (snapshot,) = told["snapshots"]
    by_key = {space["key"]: space for space in snapshot["spaces"]}
    images = by_key["image-embedding@1"]
    assert (images["rows"], images["form"]) == (300, "sq8")
    assert images["segments"] >= 1
    assert by_key["video-embedding@1"]["form"] == "flat"


def test_verify_finds_nothing_on_a_sound_folder(state: Path) -> None:
    told = sosie("verify", state=state)
    assert told["sound"] is True
    spaces = {space["key"]: space for space in told["snapshots"][0]["spaces"]}
    assert spaces["image-embedding@1"]["rows"] == 300
    assert spaces["video-embedding@1"]["rows"] == 20


@pytest.mark.parametrize("name", ["codes.faiss", "exact", "rows.i64", "segment.json", "tail.vectors", "store.json"])
def test_verify_finds_a_flipped_bit(state: Path, name: str) -> None:
    flip(max((state / "index" / "snapshots").rglob(name), key=lambda path: path.stat().st_size))
    told = sosie("verify", state=state, code=1)
    assert told["sound"] is False
    assert any(name in line for line in told["snapshots"][0]["problems"])


def test_verify_compares_vectors_with_the_log(state: Path) -> None:
    """Files whose sums are right and whose content is not: a defect of ours, not of the disk."""
    engine = Engine(state / "index", plain_rankers(), storage=SMALL)
    space = engine._spaces.get("image-embedding@1")
    assert space is not None
    other = image("x", V[390]).features["image-embedding@1"]
    space.add([5], [other])
    space.remove([7])
    space.add([9999], [other])
    engine.assign([image("later", V[352])])
    engine.snapshot()
    engine.close(take_snapshot=False)
    told = sosie("verify", state=state, code=1)
    newest = told["snapshots"][0]
    (images,) = [one for one in newest["spaces"] if one["key"] == "image-embedding@1"]
    assert (images["missing"], images["differing"], images["unknown"]) == (1, 1, 1)
    assert told["snapshots"][1]["problems"] == []


def test_a_copy_goes_back_whole_and_keeps_the_former_index(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (state / "index" / "token").write_text("secret")
    made = sosie("snapshot", "--out", copy, state=state)
    assert made["copy"]["sequence"] == made["sequence"]
    engine = Engine(state / "index", plain_rankers(), storage=SMALL)
    engine.assign([image("after", near(V[0], 0.97))])
    before = engine.get(["m0", "m299"], "feed")
    engine.close()
    told = sosie("restore", copy, state=state)
    assert told["sequence"] == made["sequence"]
    assert Path(told["former"], "log.sqlite").is_file()
    assert (state / "index" / "token").read_text() == "secret"
    engine = Engine(state / "index", plain_rankers(), storage=SMALL)
    assert engine.get(["m0", "m299", "after"], "feed") == [*before, None]
    again = engine.assign([image("copy", near(V[299], 0.97))])[0]
    assert before[1] is not None
    assert again.content_id == before[1].content_id
    engine.close()
    assert sosie("verify", state=state)["sound"] is True


def test_a_damaged_copy_is_refused_and_nothing_changes(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    sosie("snapshot", "--out", copy, state=state)
    flip(next(copy.rglob("exact")))
    with pytest.raises(SosieError, match="does not match its checksum: take another copy"):
        sosie("restore", copy, state=state)
    assert not list(state.glob("index.before-restore-*"))
    shutil.rmtree(copy)
    with pytest.raises(UsageError, match="is no copy of an index"):
        sosie("restore", copy, state=state)


def test_an_open_index_is_not_replaced(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    sosie("snapshot", "--out", copy, state=state)
    with exclusive(state / "index"), pytest.raises(UsageError, match="another index service has"):
        sosie("restore", copy, state=state)
    with pytest.raises(UsageError, match="exists"):
        sosie("snapshot", "--out", copy, state=state)


def test_a_folder_without_an_index(tmp_path: Path) -> None:
    for command in (("stats",), ("verify",), ("snapshot", "--out", tmp_path / "copy")):
        with pytest.raises(UsageError, match="holds no index"):
            sosie(*command, state=tmp_path)


def test_verify_beside_an_open_engine(state: Path) -> None:
    engine = Engine(state / "index", plain_rankers(), storage=SMALL)
    for number in range(20):
        engine.assign([image(f"n{number}", vectors(1, seed=1000 + number)[0])])
    assert sosie("verify", state=state)["sound"] is True
    assert np.isfinite(engine.stats().sequence)
    engine.close()
    assert sosie("verify", state=state)["sound"] is True


def test_what_is_past_its_time_is_counted(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "index", plain_rankers(), clock=lambda: 1_000.0)
    engine.assign([image("old", V[0], created_at=10.0, biz="ads"), image("young", V[1], created_at=4e9, biz="ads")])
    engine.assign([image("undated", V[2], biz="feed")])
    engine.close()
    ids = [one.material_id for page in expired(tmp_path / "index", 2_000.0) for one in page]
    assert ids == ["old", "undated"]
    assert [one.policy for page in expired(tmp_path / "index", 2_000.0, ("ads",)) for one in page] == ["feed"]
    assert sosie("expire", "--days", "1", "--biz", "ads", state=tmp_path) == {"expired": 1, "deleted": False}
