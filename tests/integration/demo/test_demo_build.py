"""The demo's input, made from the real package archives (fetched once, then cached)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from materials.errors import Rejected
from materials.parsing import parse_line, readable_id
from materials.records import KINDS
from model_plugins.recipes.index_file import sha256_of
from pipeline.demo.attacks.video import frames
from pipeline.demo.build import Built, build
from pipeline.demo.corpus import compose
from pipeline.demo.main import drop_stale_state, read_materials
from pipeline.demo.sources import PACKS, Media, default_cache, download
from pipeline.spec import load


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("out") / "demo")


def test_the_archives_are_the_pinned_ones(built: Built) -> None:
    paths = download(default_cache(), get=_no_network)
    assert {sha256_of(path) for path in paths.values()} == {pack.file.sha256 for pack in PACKS}


def _no_network(url: str) -> bytes:
    raise AssertionError(f"{url} was fetched although the cache has it")


def test_there_is_enough_of_everything(built: Built) -> None:
    clusters: Counter[str] = Counter(row["cluster"] for row in _rows(built.folder / "truth.jsonl"))
    kinds = Counter(cluster.partition(":")[0] for cluster in clusters)
    materials = read_materials(built.folder / "input").values()
    texts = {m.text for m in materials if m.text}
    assert kinds["image"] >= 40
    assert sum(m.kind == "video" for m in materials) >= 8
    assert len(texts) >= 60
    assert sum(any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts) >= 30
    assert 150 <= built.lines <= 260
    assert sum(n > 1 for n in clusters.values()) >= 60
    assert len(_rows(built.folder / "planted.jsonl")) >= 12


def test_truth_and_planted_name_every_line_once(built: Built) -> None:
    lines = {
        f"{kind}.jsonl:{number}": raw
        for kind in KINDS
        for number, raw in enumerate((built.folder / f"input/{kind}.jsonl").read_bytes().splitlines(), start=1)
    }
    planted = _rows(built.folder / "planted.jsonl")
    assert len(lines) == built.lines
    for row in planted:
        assert row["material_id"] == (readable_id(lines[row["line"]]) or f"@{row['line']}")
    good = [parse_line(raw, where) for where, raw in lines.items() if where not in {row["line"] for row in planted}]
    names = [material.material_id for material in good]
    assert sorted(names) == sorted(row["material_id"] for row in _rows(built.folder / "truth.jsonl"))
    assert len(set(names)) == len(names)
    for material in good:
        for uri in material.media:
            assert (built.folder / "input" / uri).stat().st_size > 500, uri


def test_what_is_planted_is_bad_for_the_reader_or_on_the_disk(built: Built) -> None:
    codes, media = set(), []
    planted = {row["line"] for row in _rows(built.folder / "planted.jsonl")}
    for kind in KINDS:
        for number, raw in enumerate((built.folder / f"input/{kind}.jsonl").read_bytes().splitlines(), start=1):
            if f"{kind}.jsonl:{number}" in planted:
                try:
                    media.extend(parse_line(raw, "x").media)
                except Rejected as error:
                    codes.add(error.code)
    assert codes >= {"broken_json", "unknown_kind", "no_content", "wrong_type", "bad_material_id"}
    assert len(media) == len(set(media)) == 10
    assert not (built.folder / "input/media/bad-missing.jpg").exists()
    assert (built.folder / "input/media/bad-empty.jpg").stat().st_size == 0
    assert (built.folder / "input/media/bad-link.jpg").is_symlink()


def test_a_second_build_makes_nothing_and_a_third_mends(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(built.folder, get=_no_network) == Built(built.folder, built.lines, built.stamp, fresh=False)
    before = {p: sha256_of(p) for p in (built.folder / "input").rglob("*.*") if p.is_file() and not p.is_symlink()}
    (built.folder / "input/media/china.jpg").unlink()
    assert build(built.folder, get=_no_network).fresh
    assert {p: sha256_of(p) for p in before} == before, "the same input again, byte for byte"


def test_the_spec_is_one_that_the_job_takes(built: Built) -> None:
    spec = load(built.spec)
    assert spec.source.path == built.folder / "input"
    assert (spec.sink.path, spec.state) == (built.folder, built.state)


def test_only_the_state_of_another_demo_is_dropped(built: Built, tmp_path: Path) -> None:
    one = Built(tmp_path, 1, "one", fresh=True)
    drop_stale_state(one)
    (one.state / "index").write_text("kept")
    drop_stale_state(one)
    assert (one.state / "index").read_text() == "kept"
    drop_stale_state(Built(tmp_path, 1, "other", fresh=True))
    assert not (one.state / "index").exists()


def test_a_corpus_follows_its_seed(built: Built) -> None:
    pictures = {p.stem: p.read_bytes() for p in sorted((built.folder / "input/media").glob("post-*.jpg"))}
    clip = (built.folder / "input/media/carphone.mp4").read_bytes()
    assert len(list(frames(clip, 0.0, 99.0, 2))) == 8
    scenes = {f"scene-{i}": data for i, data in enumerate(list(pictures.values())[:14] * 3)}
    media = Media(scenes, {}, dict.fromkeys(scenes, "jpg"), [f"第{i}条评论，写得很长很长" for i in range(36)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.demo.corpus._videos", lambda *_: [])
        patch.setattr("pipeline.demo.corpus._posts_with_media", lambda *_: [])
        first, again, other = compose(media, 1), compose(media, 1), compose(media, 2)
    assert first == again
    assert first.entries != other.entries
