"""Media that fall short of a shared content ID, and the posts that hold them beside one copied text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from index_items import deletion, image, near, plain_rankers, post, vectors
from msgspec.structs import replace

from materials.records import AssignItem, Kind
from vector_index.content import explaining, operations, proposals
from vector_index.content.replay import replay
from vector_index.engine import Engine
from vector_index.ranking.post import PostRule
from vector_index.ranking.protocol import Ranker

V = vectors(12)
TEXT = "老街尽头那家面馆开了二十多年，老板娘总记得每位熟客的口味。"
OTHER = "请问这款手机的电池能用多久？续航怎么样，发热严重吗？"
FAINT = near(V[0], 0.8)
"""Scores 0.27 with V[0]: below what shares a content ID, far above what is unlike."""


def rankers() -> Mapping[Kind, Ranker]:
    return {**plain_rankers(), "post": PostRule()}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path, rankers(), clock=lambda: 5.0)
    yield made
    made.close()


def told(name: str, *media: object, text: str = TEXT, revision: int = 0) -> AssignItem:
    made = post(name, V[9], media, text=text, revision=revision)  # type: ignore[arg-type]
    return replace(made, parts=tuple(replace(part, revision=revision) for part in made.parts))


def test_a_copied_text_speaks_for_a_faint_medium(engine: Engine) -> None:
    first, other, copy = engine.assign(
        [told("P", V[0], V[1]), told("R", V[0], V[1], text=OTHER), told("Q", V[1], FAINT)]
    )
    assert copy.content_id == first.content_id != other.content_id
    assert copy.parts[1].content_id not in {part.content_id for part in first.parts}
    assert copy.matched is not None
    assert 0.8 < copy.matched.score < 0.98


def test_not_for_a_medium_that_is_another(engine: Engine) -> None:
    first, other = engine.assign([told("P", V[0], V[1]), told("Q", V[1], V[2])])
    assert first.content_id != other.content_id
    assert other.candidates[0].relation == "related"


def test_a_search_answers_as_the_decision_would(engine: Engine) -> None:
    engine.assign([told("P", V[0], V[1])])
    asked = engine.search(told("Q", V[1], FAINT))
    (decided,) = engine.assign([told("Q", V[1], FAINT)])
    assert [(one.material_id, one.relation, one.score) for one in asked] == [
        (one.material_id, one.relation, one.score) for one in decided.candidates
    ]


def test_a_moderator_is_told_and_the_merge_job_agrees(engine: Engine) -> None:
    engine.assign([told("P", V[0]), told("Q", FAINT)])
    said = engine.look(lambda shelf: explaining.explain(shelf, "P", "Q", "feed"))
    assert said.judged is not None
    assert (said.same, said.judged.query, said.judged.relation) == (True, "Q", "same")
    whole = said.one.content_id
    engine.change(lambda shelf: operations.split(shelf, whole, ["Q"], "moderator", "look again"))
    (proposal,) = engine.look(lambda shelf: proposals.scan(shelf, "feed", 0, 100)).proposals
    assert proposal.into == whole


def test_a_person_who_parted_the_media_is_obeyed(engine: Engine) -> None:
    first, _ = engine.assign([told("P", V[0]), told("Q", FAINT)])
    engine.change(lambda shelf: operations.unlink(shelf, "feed", "P/0", "Q/0", "moderator", "another place"))
    engine.assign([deletion("Q", "post")])
    (again,) = engine.assign([told("Q", FAINT, revision=1)])
    assert again.content_id != first.content_id


def test_a_replay_comes_to_the_same_ids(tmp_path: Path) -> None:
    engine = Engine(tmp_path, rankers(), clock=lambda: 5.0)
    engine.assign([told("P", V[0], V[1]), image("alone", V[3])])
    engine.assign([told("Q", V[1], FAINT), told("R", near(V[3], 0.8))])
    engine.assign([told("S", V[3])])
    engine.close()
    report = replay(tmp_path / "log.sqlite", rankers())
    assert (report.different, report.taken, report.identical) == (0, 0, True)


def test_a_replay_takes_what_rests_on_a_medium_that_is_gone(tmp_path: Path) -> None:
    engine = Engine(tmp_path, rankers(), clock=lambda: 5.0)
    engine.assign([image("alone", V[3])])
    first, copy = engine.assign([told("P", near(V[3], 0.99)), told("Q", near(V[3], 0.81, 5))])
    assert first.content_id == copy.content_id
    engine.assign([deletion("alone")])
    engine.close()
    assert replay(tmp_path / "log.sqlite", rankers()).different == 0
