"""The engine's promises, in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from index_items import IMAGE, deletion, fingerprint, image, near, plain_rankers, post, vectors, video
from msgspec.structs import replace

from materials.errors import Permanent, UsageError
from materials.records import Feature
from vector_index.engine import Engine
from vector_index.policies import policy_named
from vector_index.where import Where

V = vectors(20)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)
    yield made
    made.close()


@pytest.fixture
def reopen(tmp_path: Path) -> Callable[[Engine], Engine]:
    def again(engine: Engine) -> Engine:
        engine.close()
        return Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)

    return again


def test_copies_share_a_content_id_across_calls_and_within_one(engine: Engine) -> None:
    first = engine.assign([image("a", V[0]), image("b", near(V[0], 0.97)), image("c", V[1])])
    later = engine.assign([image("d", near(V[0], 0.95))])[0]
    assert [one.outcome for one in first] == ["unique", "duplicate", "unique"]
    assert first[0].content_id == first[1].content_id == later.content_id != first[2].content_id
    assert first[1].matched is not None
    assert first[1].matched.material_id == "a"
    assert engine.members(later.content_id) == ["a", "b", "d"]


def test_clusters_do_not_chain(engine: Engine) -> None:
    """Each step is nearer to the one before than the margin asks for, and ever further from the centre."""
    centre, away = V[0], V[1] - (V[1] @ V[0]) * V[0]
    away /= np.linalg.norm(away)
    chain = [
        (np.cos(angle) * centre + np.sin(angle) * away).astype(np.float32) for angle in np.linspace(0, np.pi / 2, 8)
    ]
    answers = [engine.assign([image(f"c{i}", vector)])[0] for i, vector in enumerate(chain)]
    assert answers[1].content_id == answers[0].content_id
    assert answers[-1].content_id != answers[0].content_id
    for content_id in {one.content_id for one in answers}:
        inside = [vector for vector, one in zip(chain, answers, strict=True) if one.content_id == content_id]
        assert min(float(inside[0] @ other) for other in inside) > 0.5  # two steps: 32 and 27 degrees


def test_replay_answers_what_was_answered(engine: Engine) -> None:
    items = [image("a", V[0]), image("b", near(V[0], 0.97)), post("P", V[2], [V[0], V[3]])]
    first = engine.assign(items)
    engine.assign([image("between", near(V[0], 0.99))])
    before = engine.stats()
    again = engine.assign(items)
    assert [replace(one, replayed=False) for one in again] == first
    assert all(one.replayed for one in again)
    assert engine.stats().materials == before.materials
    assert engine.stats().spaces == before.spaces


def test_ids_of_strange_signs_are_known_again(engine: Engine) -> None:
    items = [image(name, V[0]) for name in ("nul\x00a", "nul\x00b", 'quo"te', "back\\slash", "猫😀")]
    first = engine.assign(items)
    assert [answer.material_id for answer in first] == [item.material_id for item in items]
    assert engine.assign(items) == [replace(answer, replayed=True) for answer in first]


def test_same_id_twice_in_one_call_is_a_replay_or_a_conflict(engine: Engine) -> None:
    one, same, other = engine.assign([image("a", V[0]), image("a", V[0]), image("a", V[1])])
    assert same == replace(one, replayed=True)
    assert other.outcome == "rejected"
    assert other.reason.startswith("conflicting_material: a revision 0")
    assert engine.get(["a"], "feed") == [one]


def test_higher_revision_replaces_and_lower_is_stale(engine: Engine) -> None:
    first = engine.assign([image("a", V[0])])[0]
    second = engine.assign([image("a", V[1], revision=2)])[0]
    assert second.content_id != first.content_id
    assert engine.members(first.content_id) == []
    assert engine.assign([image("a", V[0])])[0] == replace(first, replayed=True)
    stale = engine.assign([image("a", V[2], revision=1)])[0]
    assert (stale.outcome, stale.reason.split(":")[0]) == ("rejected", "stale_revision")
    assert engine.assign([image("b", near(V[0], 0.99))])[0].outcome == "unique"
    assert engine.assign([image("c", near(V[1], 0.99))])[0].content_id == second.content_id


def test_unchanged_content_at_a_higher_revision_keeps_its_id(engine: Engine) -> None:
    first = engine.assign([post("P", V[0], [V[1], V[2]])])[0]
    edited = engine.assign([post("P", V[3], [V[1], V[2]], revision=1)])[0]
    assert [part.content_id for part in edited.parts] == [part.content_id for part in first.parts]
    assert edited.content_id != first.content_id
    shorter = engine.assign([post("P", V[3], [V[1]], revision=2)])[0]
    assert shorter.parts[0].content_id == first.parts[0].content_id
    assert engine.members(first.parts[1].content_id) == []


def test_delete_hands_the_centre_on(engine: Engine) -> None:
    a, b = engine.assign([image("a", V[0]), image("b", near(V[0], 0.97))])
    gone = engine.assign([deletion("a")])[0]
    assert (gone.outcome, gone.content_id) == ("deleted", a.content_id)
    assert engine.members(a.content_id) == ["b"]
    # enough for a centre and not for a mere member
    joined = engine.assign([image("c", near(near(V[0], 0.97), 0.85, seed=5))])[0]
    assert joined.matched is not None
    feed = policy_named("feed")
    assert feed.centre_threshold("image") < joined.matched.score < feed.member_threshold("image")
    assert joined.content_id == b.content_id
    assert engine.assign([deletion("a")])[0] == replace(gone, replayed=True)
    assert engine.assign([image("a", V[0])])[0].replayed
    refused = engine.assign([image("a", V[0], fingerprint=fingerprint(b"other"))])[0]
    assert refused.outcome == "rejected"
    assert engine.get(["a"], "feed")[0] == gone


def test_delete_before_the_material_and_return_at_a_higher_revision(engine: Engine) -> None:
    assert engine.assign([deletion("a", revision=3)])[0].outcome == "deleted"
    late = engine.assign([image("a", V[0], revision=3)])[0]
    assert late.reason.startswith("stale_revision: a was deleted at revision 3")
    assert engine.assign([image("a", V[0], revision=4)])[0].outcome == "unique"
    assert engine.assign([deletion("a", revision=3, policy="copyright")])[0].outcome == "rejected"


def test_deleted_post_takes_its_parts_and_its_evidence_along(engine: Engine, tmp_path: Path) -> None:
    first = engine.assign([post("P", V[0], [V[1]], text="a secret that must go")])[0]
    gone = engine.assign([deletion("P", "post")])[0]
    assert [part.outcome for part in gone.parts] == ["deleted"]
    assert gone.parts[0].content_id == first.parts[0].content_id
    assert engine.assign([image("i", V[1])])[0].outcome == "unique"
    assert engine.stats().spaces == {IMAGE: 1, "text-embedding@1": 0}
    assert engine._log._db.execute("SELECT count(*) FROM materials WHERE evidence IS NOT NULL").fetchone() == (1,)


def test_image_alone_and_in_a_post_share_a_content_id(engine: Engine) -> None:
    alone = engine.assign([image("i", V[0])])[0]
    inside, later = engine.assign([post("P", V[1], [near(V[0], 0.97)]), image("j", near(V[0], 0.98))])
    assert inside.parts[0].content_id == alone.content_id == later.content_id
    assert engine.members(alone.content_id) == ["i", "P/0", "j"]


def test_posts_without_text_meet_through_their_media(engine: Engine) -> None:
    seen = []

    class Watching:
        name = "watching@1"

        def rank(self, query, candidates, recall):  # type: ignore[no-untyped-def]
            seen.append((query.parts, [(one.material_id, one.parts) for one in candidates], recall.hits))
            return plain_rankers()["post"].rank(query, candidates, recall)

    engine._comparer._rankers["post"] = Watching()
    one, two = engine.assign([post("P", None, [V[0], V[1]]), post("Q", None, [near(V[1], 0.98)])])
    shared = one.parts[1].content_id
    assert two.parts[0].content_id == shared
    parts, candidates, hits = seen[-1]
    assert parts == (("image", shared),)
    assert candidates == [("P", (("image", one.parts[0].content_id), ("image", shared)))]
    assert [hit.material_id for hit in hits["post-parts"]] == ["P"]


def test_videos_find_each_other_within_a_batch(engine: Engine) -> None:
    film = vectors(30, seed=9)
    one, two, three = engine.assign([video("v", film), video("w", film[:20]), video("x", vectors(30, seed=10))])
    assert one.content_id == two.content_id != three.content_id


def test_policies_share_vectors_and_no_content_ids(engine: Engine) -> None:
    feed = engine.assign([image("a", V[0])])[0]
    owned = image("a", V[0], policy="copyright", biz="reference")
    copyright_ = engine.assign([owned, image("b", V[0], policy="copyright")])
    assert copyright_[0].content_id.startswith("copyright-")
    assert copyright_[1].content_id == copyright_[0].content_id
    assert engine.stats().spaces == {IMAGE: 2}
    assert engine.members(feed.content_id) == ["a"]
    crossing = engine.assign([image("c", V[0], policy="video-dedup")])[0]
    assert crossing.outcome == "unique"
    assert {one.material_id for one in crossing.candidates} == {"a", "b"}


def test_a_second_policy_adds_what_it_knows(engine: Engine) -> None:
    engine.assign([image("a", V[0])])
    more = {"other-embedding@1": Feature.of("vector", V[5])}
    engine.assign([image("a", V[0], policy="copyright", features=more)])
    assert engine.stats().spaces == {IMAGE: 1, "other-embedding@1": 1}


def test_search_stores_nothing_and_finds_through_parts(engine: Engine) -> None:
    engine.assign([image("a", V[0]), image("b", V[1]), post("P", V[2], [V[0]])])
    before = engine.stats()
    assert engine.search(image("q", near(V[0], 0.95)), k=2)[0].material_id in {"a", "P/0"}
    assert engine.search(post("q", None, [near(V[0], 0.97)]))[0].material_id == "P"
    assert replace(engine.stats(), counters={}) == replace(before, counters={})
    with pytest.raises(UsageError):
        engine.search(image("q", V[0]), k=0)


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (Feature.of("vector", V[0] * 2), "its length is not 1"),
        (Feature.of("vector", np.full(32, np.nan, np.float32)), "its length is not 1"),
        (Feature.of("vector", vectors(1, dim=16)[0]), "16 dimensions and its space has 32"),
        (Feature.of("vector", V[0].astype(np.float64)), "float32"),
        (Feature.of("timed-vectors", V[:2]), "its space holds 'vector'"),
        (Feature(schema="vector", dtype="float32", shape=(32,), data=b"abc"), "do not fit"),
        (Feature(schema="vector", dtype="nonsense", shape=(32,), data=b""), "do not fit"),
    ],
)
def test_an_unusable_feature_rejects_its_material_alone(engine: Engine, feature: Feature, words: str) -> None:
    good, bad = engine.assign([image("a", V[0]), image("b", V[1], features={IMAGE: feature})])
    assert good.outcome == "unique"
    assert bad.outcome == "rejected"
    assert bad.reason.startswith(f"invalid_feature: {IMAGE} of b: ")
    assert words in bad.reason


def test_a_ranker_that_fails_loses_no_material(engine: Engine) -> None:
    class Broken:
        name = "broken@1"

        def rank(self, query, candidates, recall):  # type: ignore[no-untyped-def]
            raise ZeroDivisionError

    engine._comparer._rankers["image"] = Broken()
    one, two = engine.assign([image("a", V[0]), image("b", V[0])])
    assert one.content_id == two.content_id
    assert engine.stats().counters["ranker_failures"] == 1


@pytest.mark.parametrize(
    "item",
    [
        replace(image("a", V[0]), policy="nobody"),
        replace(image("a", V[0]), fingerprint=b"short"),
        image("", V[0]),
        image("a/0", V[0]),
        image("a", V[0], revision=-1),
        replace(post("P", V[0], [V[1]]), material_id="Q"),
        replace(image("a", V[0]), parts=(image("a/0", V[1]),)),
    ],
)
def test_a_malformed_call_changes_nothing(engine: Engine, item) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        engine.assign([image("good", V[3]), item])
    assert engine.stats().materials == 0


def test_redirected_ids_answer_for_ever(engine: Engine, reopen: Callable[[Engine], Engine]) -> None:
    a, b, c = (one.content_id for one in engine.assign([image(f"m{i}", V[i]) for i in range(3)]))
    engine.redirect(b, a)
    engine.redirect(a, c)
    engine = reopen(engine)
    assert {engine.resolve(one) for one in (a, b, c)} == {c}
    assert engine.members(b) == ["m0", "m1", "m2"]
    assert engine.resolve("feed-unknown") is None
    assert engine.assign([image("new", near(V[1], 0.99))])[0].content_id == c
    with pytest.raises(Permanent, match="already the same"):
        engine.redirect(a, b)


def test_a_crowd_of_one_picture_does_not_hide_another(engine: Engine) -> None:
    """Thirty copies of one picture are nearer than the other copy; its cluster is still compared."""
    other = near(V[0], 0.9, seed=3)
    engine.assign([image("other", other)])
    engine.assign([image(f"crowd{i}", near(V[0], 0.999, seed=i)) for i in range(25)])
    found = engine.assign([image("q", V[0])])[0]
    assert "other" in {one.material_id for one in found.candidates}


def test_a_search_answers_only_what_its_filter_lets_through(engine: Engine) -> None:
    """A crowd of copies of another business stands nearer than the few that are asked for."""
    crowd = [image(f"crowd{i}", near(V[0], 0.99, seed=i), biz="ads", created_at=50.0) for i in range(200)]
    engine.assign(crowd)
    engine.assign([image(f"few{i}", near(V[0], 0.9, seed=500 + i), biz="feed", created_at=100.0 + i) for i in range(3)])
    query = image("q", V[0])
    assert {one.material_id for one in engine.search(query, 5)} <= {f"crowd{i}" for i in range(200)}
    found = engine.search(query, 5, Where(biz=("feed",)))
    assert {one.material_id for one in found} == {"few0", "few1", "few2"}
    assert [one.material_id for one in engine.search(query, 5, Where(since=101.0, until=102.0))] == ["few1"]
    assert engine.search(query, 5, Where(kinds=("video",))) == []
    assert engine.search(query, 5, Where(biz=("nobody",))) == []
