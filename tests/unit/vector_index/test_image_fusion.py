"""The image ranker on features of real plug-ins (drawn scenes) and embeddings of known cosine."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.fit.attacks import frame
from materials.records import Feature, Features
from model_plugins.builtin.image_local import ImageLocal
from model_plugins.builtin.image_pdq import ImagePdq
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import pdq
from model_plugins.protocol import ImageMedia
from vector_index.calibration import platt
from vector_index.policies import POLICIES
from vector_index.ranking import image as fusion
from vector_index.ranking import image_evidence as measure
from vector_index.ranking.geometry import Agreement, Keypoints
from vector_index.ranking.image import VERIFIED, ImageFusion, shipped
from vector_index.ranking.protocol import Evidence, Recall, RecallHit
from vector_index.spaces.keypoint_votes import KeypointVotes

EMBEDDING, LOCAL, PDQ = "image-embedding@1", "image-local@1", "image-pdq@1"
Picture = NDArray[np.uint8]


def scene(seed: int) -> Picture:
    """Boxes on a gradient: corners enough."""
    random = np.random.default_rng(seed)
    picture = gradient_scene(300, 400, seed).astype(np.float32)
    for _ in range(50):
        y, x = int(random.integers(0, 270)), int(random.integers(0, 370))
        tall, wide = (int(side) for side in random.integers(5, 30, 2))
        picture[y : y + tall, x : x + wide] = random.uniform(0, 255, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


def direction(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=256)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def near(vector: NDArray[np.float32], cosine: float) -> NDArray[np.float32]:
    noise = direction(987654)
    noise = noise - vector * (noise @ vector)
    noise /= np.linalg.norm(noise)
    return (cosine * vector + np.sqrt(1 - cosine**2) * noise).astype(np.float32)


def features(rgb: Picture, embedding: NDArray[np.float32]) -> Features:
    media = ImageMedia(rgb=np.ascontiguousarray(rgb), width=rgb.shape[1], height=rgb.shape[0])
    local, hashed = ImageLocal(), ImagePdq()
    return {
        EMBEDDING: Feature.of("vector", embedding),
        LOCAL: local.interpret(local.prepare(media)),
        PDQ: hashed.interpret(hashed.prepare(media)),
    }


class World:
    """Twelve stored scenes and their recall."""

    def __init__(self) -> None:
        self.stored = [
            Evidence(
                material_id=f"r{seed}",
                kind="image",
                content_id=f"c{seed}",
                features=features(scene(seed), direction(seed)),
            )
            for seed in range(12)
        ]
        self.votes = KeypointVotes()
        self.votes.add(range(12), [item.features[LOCAL] for item in self.stored])

    def recall(self, query: Features) -> Recall:
        hits: dict[str, tuple[RecallHit, ...]] = {}
        if EMBEDDING in query:
            near = [(float(item.features[EMBEDDING].array() @ query[EMBEDDING].array()), item) for item in self.stored]
            near.sort(key=lambda found: -found[0])
            hits[EMBEDDING] = tuple(RecallHit(item.material_id, item.content_id, score) for score, item in near)
        if LOCAL in query:
            hits[LOCAL] = tuple(
                RecallHit(f"r{row}", f"c{row}", score) for row, score in self.votes.search([query[LOCAL]], 30)[0]
            )
        return Recall(hits)

    def scores(self, query: Features, ranker: ImageFusion | None = None) -> dict[str, float]:
        asked = Evidence(material_id="q", kind="image", features=query)
        ranked = (ranker or ImageFusion()).rank(asked, self.stored, self.recall(query))
        return {candidate.material_id: candidate.score for candidate in ranked}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def only(found: Features, keys: tuple[str, ...]) -> Features:
    return {key: feature for key, feature in found.items() if key in keys}


def probability(score: float) -> float:
    """What the ranker's score is worth, as policies read it."""
    return platt.shipped()[ImageFusion().name].probability(score)


@pytest.mark.parametrize(
    ("change", "cosine"),
    [
        pytest.param(lambda x: x, 0.98, id="encoded again"),
        pytest.param(lambda x: x[:, ::-1], 0.6, id="mirrored"),
        pytest.param(lambda x: x[40:260, 60:330], 0.55, id="cropped"),
        pytest.param(np.rot90, 0.5, id="turned"),
        pytest.param(lambda x: np.clip(x * 0.6 + 20, 0, 255).astype(np.uint8), 0.8, id="darkened"),
    ],
)
def test_copies_are_likely_and_strangers_are_not(world: World, change: object, cosine: float) -> None:
    query = features(change(scene(4)), near(direction(4), cosine))  # type: ignore[operator]
    scores = world.scores(query)
    assert scores.pop("r4") > 0.9
    assert max(scores.values()) < 0.2


def test_a_stranger_is_unlikely_to_be_anyone(world: World) -> None:
    assert max(world.scores(features(scene(70), direction(70))).values()) < 0.2


def test_votes_without_a_common_geometry_do_not_make_a_copy(world: World) -> None:
    """The dots of two star fields vote for each other; no map carries the one field into the other."""
    query = Evidence(material_id="q", kind="image", features=features(scene(70), near(direction(3), 0.45)))
    star = world.stored[3]
    votes = (RecallHit(star.material_id, star.content_id, 5.0), RecallHit("r4", "c4", 0.5))
    cosines = tuple(
        RecallHit(item.material_id, item.content_id, 0.45 if item is star else 0.2)
        for item in (star, *world.stored[4:9])
    )
    [judged] = ImageFusion().rank(query, [star], Recall({EMBEDDING: cosines, LOCAL: votes}))
    quiet = (RecallHit(star.material_id, star.content_id, 0.5), votes[1])
    [unheard] = ImageFusion().rank(query, [star], Recall({EMBEDDING: cosines, LOCAL: quiet}))
    assert probability(judged.score) < POLICIES["feed"].thresholds["image"]
    assert judged.score <= unheard.score + 0.05


@pytest.mark.parametrize(
    "keys", [keys for size in (0, 1, 2, 3) for keys in combinations((EMBEDDING, LOCAL, PDQ), size)]
)
def test_missing_features_lower_what_is_known(world: World, keys: tuple[str, ...]) -> None:
    query = only(features(scene(4), near(direction(4), 0.97)), keys)
    scores = world.scores(query)
    assert len(scores) == 12
    assert all(0 <= score <= 1 for score in scores.values())
    if keys:
        assert max(scores, key=lambda name: scores[name]) == "r4"
        assert scores["r4"] > 0.7
    else:
        assert set(scores.values()) == {0.0}


def test_candidates_without_the_query_s_embedding_version_are_judged_by_the_rest(world: World) -> None:
    query = features(scene(4), direction(4))
    renamed = {EMBEDDING.replace("@1", "@2"): query[EMBEDDING], LOCAL: query[LOCAL]}
    assert world.scores(renamed)["r4"] == pytest.approx(world.scores(only(query, (LOCAL,)))["r4"])


def test_one_candidate_each_in_the_contract_s_form(world: World) -> None:
    query = features(scene(4), near(direction(4), 0.9))
    asked = Evidence(material_id="q", kind="image", features=query)
    ranked = ImageFusion().rank(asked, world.stored, world.recall(query))
    assert [found.material_id for found in ranked] == [item.material_id for item in world.stored]
    assert {found.relation for found in ranked} == {"same"}
    assert {found.ranker for found in ranked} == {"image-fusion@2"}
    assert ranked[4].recall_score == pytest.approx(0.9, abs=1e-3)
    assert ImageFusion().rank(asked, world.stored, world.recall(query)) == ranked
    assert ImageFusion().rank(asked, [], Recall({})) == []


def test_pictures_without_keypoints_and_odd_arrays(world: World) -> None:
    flat = np.full((100, 100, 3), 99, np.uint8)
    assert max(world.scores(features(flat, direction(5000))).values()) < 0.5
    odd: Features = {
        EMBEDDING: Feature.of("vector", np.zeros((2, 3), np.float32)),
        LOCAL: Feature.of("keypoints", np.zeros((2, 51), np.uint8)),
        PDQ: Feature.of("pdq", np.zeros(3, np.uint8)),
    }
    ranked = ImageFusion().rank(Evidence(material_id="q", kind="image", features=odd), world.stored, Recall({}))
    assert {found.score for found in ranked} == {0.0}


def test_certain_pairs_cost_no_geometry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def counted(one: Keypoints, other: Keypoints) -> Agreement:
        looked.append(len(other.xy))
        return Agreement()

    monkeypatch.setattr(fusion, "agree", counted)
    query = features(scene(4), direction(4))
    asked = Evidence(material_id="q", kind="image", features=query)
    assert ImageFusion().rank(asked, [world.stored[4]], world.recall(query))[0].score >= 0.999
    assert looked == []


def test_geometry_is_for_the_most_promising(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, looked = fusion.agree, []

    def counted(one: Keypoints, other: Keypoints) -> Agreement:
        looked.append(1)
        return real(one, other)

    monkeypatch.setattr(fusion, "agree", counted)
    query = features(scene(4)[30:250, 50:350], near(direction(4), 0.3))
    assert world.scores(query, ImageFusion(verified=3))["r4"] > 0.9
    assert len(looked) == 3
    assert VERIFIED >= 8


def test_background_counts_each_content_id_once() -> None:
    hits = [RecallHit(f"m{i}", "same", 0.9) for i in range(5)]
    hits += [RecallHit(f"n{i}", f"c{i}", 0.5) for i in range(5)]
    assert measure.background(hits, 0.1) == pytest.approx(0.5)
    assert measure.background(hits[:7], 0.1) == pytest.approx((2 * 0.5 + 3 * 0.1) / 5)
    assert measure.background([], 0.1) == pytest.approx(0.1)
    anonymous = [RecallHit(f"m{i}", "", 0.5) for i in range(6)]
    assert measure.background(anonymous, 0.1) == pytest.approx(0.5)


def test_lone_embeddings_score_as_the_full_measurement_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = [{EMBEDDING: Feature.of("vector", near(direction(seed), 0.5 + seed / 25))} for seed in range(12)]
    quick = [world.scores(query) for query in queries]
    monkeypatch.setattr(measure, "lone_cosines", lambda features, candidates: None)
    for query, scores in zip(queries, quick, strict=True):
        assert scores == pytest.approx(world.scores(query), abs=1e-9)


def test_lone_embeddings_leave_other_evidence_to_the_full_measurement(world: World) -> None:
    whole = world.stored[0].features
    embedding = {EMBEDDING: whole[EMBEDDING]}
    assert measure.lone_cosines(embedding, world.stored) is not None
    assert measure.lone_cosines(whole, world.stored) is None
    assert measure.lone_cosines({}, world.stored) is None
    for unlike in (
        {},
        {EMBEDDING: Feature.of("vector", direction(0)[:128])},
        {EMBEDDING: Feature.of("vector", direction(0).astype(np.float16))},
        {"image-embedding@2": whole[EMBEDDING]},
    ):
        other = Evidence(material_id="other", kind="image", features=unlike)
        assert measure.lone_cosines(embedding, [*world.stored, other]) is None


@pytest.mark.parametrize("copies", [2, 5, 9])
def test_equal_pictures_tie_wherever_they_stand(copies: int) -> None:
    stored = [
        Evidence(material_id=f"m{place}", kind="image", features={EMBEDDING: Feature.of("vector", direction(3))})
        for place in range(copies)
    ]
    asked = Evidence(material_id="q", kind="image", features={EMBEDDING: Feature.of("vector", near(direction(3), 0.7))})
    assert len({candidate.score for candidate in ImageFusion().rank(asked, stored, Recall({}))}) == 1


def test_turned_hashes_meet() -> None:
    rgb = gradient_scene(300, 300, 5)

    def hashed(picture: Picture) -> measure.Picture:
        return measure.picture({PDQ: Feature.of("pdq", pdq.compute(np.ascontiguousarray(picture)))})

    original = hashed(rgb)
    for turn in range(4):
        for view in (np.rot90(rgb, turn), np.rot90(rgb[:, ::-1], turn)):
            plain, least = measure.hamming(original, hashed(view))
            assert least <= 24
            assert plain >= least
    assert measure.hamming(original, hashed(rgb))[0] == 0
    assert measure.hamming(original, hashed(scene(3)))[1] > 50
    assert measure.hamming(original, measure.picture({})) == (128, 128)


def test_shipped_weights_cover_every_combination_and_state_their_training() -> None:
    fitted = shipped()
    assert len(fitted.sets) == len(fitted.before) == 7
    for name, weights in fitted.sets.items():
        assert {measure.NEEDS[column] for column in weights.weights} == set(name.split("+"))
    assert not {column for weights in fitted.before.values() for column in weights.weights} & set(measure.GEOMETRY)
    assert fitted.training["ap_cross_validated"] > 0.8
    assert fitted.training["queries"] > 300


def test_screenshots_of_one_app_are_told_by_what_they_show() -> None:
    """Bars and buttons agree in every pixel; what is inside decides."""
    show, random = frame(np.random.default_rng(3)), np.random.default_rng(4)
    pages = {seed: features(show(scene(seed), random), near(direction(99), 0.6)) for seed in range(30, 34)}
    stored = [
        Evidence(material_id=f"p{seed}", kind="image", content_id=f"c{seed}", features=page)
        for seed, page in pages.items()
    ]
    votes = KeypointVotes()
    votes.add(range(len(stored)), [item.features[LOCAL] for item in stored])

    def scores(query: Features) -> dict[str, float]:
        cosines = [(float(item.features[EMBEDDING].array() @ query[EMBEDDING].array()), item) for item in stored]
        hits = {
            EMBEDDING: tuple(
                RecallHit(item.material_id, item.content_id, cosine)
                for cosine, item in sorted(cosines, key=lambda found: -found[0])
            ),
            LOCAL: tuple(
                RecallHit(stored[row].material_id, stored[row].content_id, score)
                for row, score in votes.search([query[LOCAL]], 30)[0]
            ),
        }
        asked = Evidence(material_id="q", kind="image", features=query)
        return {found.material_id: found.score for found in ImageFusion().rank(asked, stored, Recall(hits))}

    threshold = POLICIES["feed"].thresholds["image"]
    likeliest = max(scores(features(show(scene(40), random), near(direction(99), 0.6))).values())
    assert probability(likeliest) < threshold
    again = scores(features(show(scene(32), random), near(direction(99), 0.6)))
    assert again.pop("p32") > max(again.values())
