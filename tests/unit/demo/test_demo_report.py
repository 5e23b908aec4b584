"""The report escapes what strangers wrote, opens nothing outside its folder, and tells wrong groups from right ones."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from materials.records import Material, Outcome
from pipeline.demo.previews import medium_pictures, previews_from
from pipeline.demo.report import Run, render
from pipeline.demo.score import score

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\'<b onclick="x">'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _read(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    parser.close()
    return parser


def _outcome(name: str, cid: str, **more: Any) -> Outcome:
    fields = {"kind": "post", "outcome": "duplicate" if more.get("matched") else "unique", **more}
    return Outcome(material_id=name, revision=0, content_id=cid, **fields)


def _run(results: list[Outcome], truth: dict[str, str], texts: dict[str, str], defects: dict[str, str]) -> Run:
    materials = {name: Material(material_id=name, kind="post", text=text) for name, text in texts.items()}
    judged = score(truth, list(defects), results)
    return Run(
        materials=materials,
        results=results,
        truth=truth,
        defects=defects,
        score=judged,
        seconds=1.0,
        stack_start_seconds=2.0,
    )


def test_hostile_values_stay_text_wherever_they_stand() -> None:
    matched = {"material_id": EVIL, "score": EVIL, "ranker": EVIL, "relation": EVIL}
    results = [
        _outcome(EVIL, EVIL),
        _outcome("b", EVIL, matched=matched),
        _outcome("alone", "other"),
        Outcome(material_id="bad" + EVIL, revision=0, kind=EVIL, outcome="rejected", reason=EVIL),
    ]
    truth = {EVIL: "post:" + EVIL, "b": "post:" + EVIL, "alone": "post:" + EVIL}
    texts = {EVIL: EVIL, "b": EVIL, "alone": EVIL}
    run = _run(results, truth, texts, {"bad" + EVIL: EVIL})
    page = _read(render(run, lambda _: [["javascript:alert(3)", EVIL]]))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not [attributes for tag, attributes in page.tags if tag == "img"], "only our own data URIs are pictures"
    assert sum(EVIL in word for word in page.words) >= 6, "and what was written is still to be read"


def test_the_page_is_self_contained_and_fits_a_phone() -> None:
    html = render(_run([_outcome("a", "x")], {"a": "post:1"}, {"a": "hello"}, {}), lambda _: [])
    page = _read(html)
    assert ("meta", {"name": "viewport", "content": "width=device-width,initial-scale=1"}) in page.tags
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "default-src 'none'" in html
    assert all(str(a["href"]).startswith("#") for tag, a in page.tags if tag == "a")


def test_right_wrong_and_incomplete_groups_are_told_apart() -> None:
    results = [_outcome(n, "x") for n in "ab"] + [_outcome(n, "y") for n in "cd"] + [_outcome(n, "z") for n in "ef"]
    truth = {"a": "post:1", "b": "post:1", "c": "post:2", "d": "post:3", "e": "post:4", "f": "post:4", "g": "post:4"}
    html = render(_run([*results, _outcome("g", "w")], truth, dict.fromkeys("abcdefg", "t"), {}), lambda _: [])
    assert html.count("✓ complete") == 1
    assert html.count("✗ mixes 2 contents") == 1
    assert html.count("2 of 3") == 1
    assert "1 true groups that were not joined completely" in html


def test_previews_show_what_is_in_the_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    Image.new("RGBA", (700, 300), (200, 30, 30, 128)).save(folder / "fine.png")
    Image.new("RGB", (50, 50)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "page.jpg").write_text("<html>")
    (folder / "broken.mp4").write_bytes(b"\0" * 500)
    (pictures,) = previews_from(folder)(Material(material_id="a", kind="image", media=("fine.png",)))
    assert [uri.startswith("data:image/jpeg;base64,") for uri in pictures] == [True]
    for uri in ("../outside.png", "link.png", str(tmp_path / "outside.png"), "page.jpg", "broken.mp4", "none.png", "."):
        assert medium_pictures(folder, uri) == [], uri


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3, 7, None, "0.9"])
def test_a_score_that_is_none_does_not_break_the_page(value: object) -> None:
    results = [_outcome("a", "x"), _outcome("b", "x", matched={"material_id": "a", "score": value})]
    html = render(_run(results, {"a": "post:1", "b": "post:1"}, {"a": "t", "b": "t"}, {}), lambda _: [])
    assert "nan" not in html
