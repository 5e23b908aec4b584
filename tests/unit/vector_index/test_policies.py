"""Policies out of files, the reference bank, and partial copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from index_items import image, near, plain_rankers, post, vectors, video

from materials.errors import UsageError
from materials.records import Candidate
from vector_index.engine import Engine
from vector_index.policies import POLICIES, policies_of, read_policies
from vector_index.ranking.protocol import Evidence, Recall

V = vectors(8, seed=3)


def test_a_file_overrides_what_it_names_and_adds_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text(
        "policies:\n"
        "  feed: {thresholds: {image: 0.61}}\n"
        "  ads: {thresholds: {image: 0.9, video: 0.8, post: 0.7}, margin: 0.1, references: [ad]}\n"
    )
    found = policies_of(tmp_path)
    assert found["feed"].thresholds == {**POLICIES["feed"].thresholds, "image": 0.61}
    assert found["feed"].margin == POLICIES["feed"].margin
    assert "image" not in found["feed"].measured, "what was measured was measured at the other threshold"
    assert found["ads"].is_reference("ad")
    assert not found["ads"].is_reference("feed")
    assert found["copyright"] == POLICIES["copyright"]


def test_without_a_file_the_shipped_ones_hold(tmp_path: Path) -> None:
    assert policies_of(tmp_path) == POLICIES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policies: [", "no YAML"),
        ("feed: {}", "holds no policies"),
        ("policies: {feed: 3}", "no mapping"),
        ("policies: {new: {margin: 0.1}}", "thresholds"),
        ("policies: {new: {thresholds: {image: 0.5, video: 0.5}, margin: 0.1}}", "no threshold for post"),
        ("policies: {feed: {thresholds: {image: 1.5}}}", "between 0 and 1"),
        ("policies: {feed: {thresholds: {sound: 0.5}}}", "sound"),
        ("policies: {feed: {threshold: {image: 0.5}}}", "threshold"),
        ("policies: {feed: {margin: much}}", "margin"),
    ],
)
def test_an_unusable_file_is_refused_with_its_name(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_policies(text, "my.yaml", POLICIES)
    assert caught.value.message.startswith("my.yaml")
    assert caught.value.remedy


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)
    yield made
    made.close()


def test_only_references_of_the_bank_are_matched_against(engine: Engine) -> None:
    def seen(name: str, cosine: float, biz: str = "feed"):  # type: ignore[no-untyped-def]
        return image(name, near(V[0], cosine, seed=len(name)), policy="copyright", biz=biz)

    early, twin = engine.assign([seen("early", 1.0), seen("twin", 1.0)])
    assert early.outcome == twin.outcome == "unique"
    assert early.content_id != twin.content_id, "no reference, nothing to be a copy of"
    assert twin.candidates == ()
    owned = engine.assign([seen("owned", 1.0, biz="reference")])[0]
    assert owned.outcome == "unique"
    assert owned.candidates == ()
    copy, copy_of_copy = engine.assign([seen("copy1", 0.999), seen("copy-22", 0.998)])
    assert copy.content_id == copy_of_copy.content_id == owned.content_id
    assert [one.material_id for one in copy_of_copy.candidates] == ["owned"]
    assert [one.material_id for one in engine.search(seen("q", 0.999))] == ["owned"]


def test_the_bank_survives_a_restart(tmp_path: Path) -> None:
    first = Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)
    first.assign([image("a", V[0], policy="copyright"), image("r", V[0], policy="copyright", biz="reference")])
    first.close()
    again = Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)
    try:
        found = again.assign([image("b", V[0], policy="copyright")])[0]
        assert found.matched is not None
        assert [one.material_id for one in found.candidates] == [found.matched.material_id] == ["r"]
    finally:
        again.close()


def test_a_posts_media_meet_their_reference(engine: Engine) -> None:
    def posted(name: str, biz: str):  # type: ignore[no-untyped-def]
        from msgspec.structs import replace

        whole = post(name, None, [V[1]], biz=biz)
        return replace(whole, policy="copyright", parts=tuple(replace(p, policy="copyright") for p in whole.parts))

    owned, copy = engine.assign([posted("R", "reference"), posted("P", "feed")])
    assert copy.parts[0].content_id == owned.parts[0].content_id


class Parts:
    """Every candidate is a part of the query, seconds 1 to 4 of it."""

    name = "parts@1"

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        return [
            Candidate(
                material_id=one.material_id,
                score=0.97,
                relation="contains",
                ranker=self.name,
                content_id=one.content_id,
                segments=((1.0, 4.0, 0.0, 3.0),),
            )
            for one in candidates
        ]


@pytest.mark.parametrize(("policy", "reported"), [("copyright", True), ("feed", False)])
def test_copyright_reports_partial_copies_with_their_segments(tmp_path: Path, policy: str, reported: bool) -> None:
    from msgspec.structs import replace

    engine = Engine(tmp_path, {"video": Parts()}, clock=lambda: 0.0, lines={})
    try:
        frames = vectors(6, seed=4)
        owned = replace(video("film", frames, biz="reference"), policy=policy)
        cut = replace(video("cut", frames), policy=policy)
        first, second = engine.assign([owned, cut])
        assert second.outcome == "unique"
        assert second.content_id != first.content_id
        assert (second.matched is not None) == reported
        if second.matched is not None:
            assert second.matched.relation == "contains"
            assert second.matched.segments == ((1.0, 4.0, 0.0, 3.0),)
        assert engine.get(["cut"], policy) == [second]
    finally:
        engine.close()
