from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.records import Candidate
from vector_index.ranking.post import PostRule
from vector_index.ranking.protocol import Evidence, Near, Recall

RULE = PostRule()
NOTHING = Recall({})
LONG = "老街尽头那家面馆开了二十多年，老板娘总记得每位熟客的口味。"
OTHER = "请问这款手机的电池能用多久？续航怎么样，发热严重吗？"
A, B, C = ("image", "cA"), ("image", "cB"), ("video", "cC")
Parts = tuple[tuple[str, str], ...]


Nears = tuple[Near, ...]


def judge(one: tuple[str, Parts], other: tuple[str, Parts], near: Nears = (), near_other: Nears = ()) -> Candidate:
    query = Evidence(material_id="q", kind="post", text=one[0], parts=one[1], near=near)
    candidate = Evidence(material_id="r", kind="post", text=other[0], parts=other[1], content_id="c", near=near_other)
    (answer,) = RULE.rank(query, [candidate], NOTHING)
    assert (answer.material_id, answer.content_id, answer.ranker) == ("r", "c", "post-rule@2")
    return answer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((LONG, ()), (LONG + "[泪]", ())),
        ((LONG, (A, C)), (LONG, (A, C))),
        ((LONG, (A, C)), (LONG, (C, A))),
        ((LONG, (A, A, B)), (LONG, (B, A))),
        (("", (A,)), ("", (A,))),
        (("早安", (A,)), ("早安！", (A,))),
        (("早安", (A,)), ("", (A,))),
        (("😂", (A,)), ("", (A,))),
        (("😂😂", ()), ("😂😂", ())),
        (("早安", ()), ("早 安", ())),
    ],
)
def test_same(one: tuple[str, Parts], other: tuple[str, Parts]) -> None:
    answer = judge(one, other)
    assert answer.relation == "same"
    assert answer.score > 0.9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((LONG, (A,)), (OTHER, (A,))),
        ((LONG, (A,)), ("", (A,))),
        ((LONG, (A,)), ("早安", (A,))),
        (("第3集", (A,)), ("第4集上映", (A,))),
        ((LONG, (A,)), (LONG, (B,))),
        ((LONG, (A,)), (LONG, ())),
        ((LONG, (A, B)), (LONG, (A,))),
        ((LONG, (A,)), (LONG, (("video", "cA"),))),
        (("", (("image", ""),)), ("", (("image", ""),))),
        (("", (A, ("image", ""))), ("", (A, ("image", "")))),
    ],
)
def test_never_same(one: tuple[str, Parts], other: tuple[str, Parts]) -> None:
    assert judge(one, other).relation == "related"


def test_the_score_says_how_much_is_shared() -> None:
    whole = judge((LONG, (A, B)), (OTHER, (A, B))).score
    part = judge((LONG, (A, B)), (OTHER, (A,))).score
    text = judge((LONG, (A,)), (LONG, (B,))).score
    greeting = judge(("早安", (A,)), ("早安", (B,))).score
    none = judge((LONG, (A,)), (OTHER, (B,))).score
    assert whole > part > 0.5
    assert text > 0.9
    assert none < 0.1 < greeting < 0.3


def test_texts_alone_that_differ() -> None:
    answer = judge((LONG, ()), (OTHER, ()))
    assert (answer.relation, answer.score < 0.1) == ("same", True)
    assert judge(("😂", ()), ("🔥", ())).score < 0.01


D = ("image", "cD")


@pytest.mark.parametrize("score", [0.1, 0.3, 0.6])
def test_a_likely_copy_of_a_medium_is_enough_beside_a_copied_text(score: float) -> None:
    answer = judge((LONG, (A, D)), (LONG + "[泪]", (B, A)), (Near(1, "cB", score),))
    assert answer.relation == "same"
    assert answer.score > max(0.5, score)
    assert answer == judge((LONG, (A, D)), (LONG + "[泪]", (B, A)), (), (Near(0, "cD", score),))


def test_the_likelier_the_medium_the_likelier_the_post() -> None:
    scores = [judge((LONG, (D,)), (LONG, (B,)), (Near(0, "cB", score),)).score for score in (0.06, 0.1, 0.4, 0.9)]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
    assert scores[-1] <= judge((LONG, (B,)), (LONG, (B,))).score


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        pytest.param((LONG, (D,)), (LONG, (B,)), Near(0, "cB", 0.02), id="hardly alike"),
        pytest.param((LONG, (D,)), (LONG, (B,)), Near(0, "cA", 0.7), id="like something else"),
        pytest.param((LONG, (D,)), (OTHER, (B,)), Near(0, "cB", 0.7), id="another text"),
        pytest.param(("早安", (D,)), ("早安", (B,)), Near(0, "cB", 0.7), id="a greeting proves nothing"),
        pytest.param(("", (D,)), ("", (B,)), Near(0, "cB", 0.7), id="no text proves nothing"),
        pytest.param((LONG, (D, A)), (LONG, (B,)), Near(0, "cB", 0.7), id="one more medium"),
        pytest.param((LONG, (D,)), (LONG, (B, A)), Near(0, "cB", 0.7), id="one medium less"),
        pytest.param((LONG, (D, C)), (LONG, (B, A)), Near(0, "cB", 0.7), id="one of two is another"),
        pytest.param((LONG, (D,)), (LONG, (("video", "cB"),)), Near(0, "cB", 0.7), id="another kind"),
        pytest.param((LONG, (D, ("image", ""))), (LONG, (B, A)), Near(0, "cB", 0.7), id="a broken medium"),
    ],
)
def test_likeness_alone_makes_no_copy(one: tuple[str, Parts], other: tuple[str, Parts], near: Near) -> None:
    assert judge(one, other, (near,)).relation == "related"
    assert judge(other, one, (), (near,)).relation == "related"


texts = st.sampled_from(["", "😂", "早安", "早安！", "第3集", LONG, LONG[:20], OTHER])
media = st.lists(st.sampled_from([A, B, C, ("image", "")]), max_size=3).map(tuple)


@given(texts, media, texts, media)
def test_symmetric_and_only_equal_media_can_be_same(t1: str, m1: Parts, t2: str, m2: Parts) -> None:
    there, back = judge((t1, m1), (t2, m2)), judge((t2, m2), (t1, m1))
    assert there.relation == back.relation
    assert there.score == pytest.approx(back.score)
    assert 0 <= there.score <= 1
    if there.relation == "same":
        assert set(m1) == set(m2)
        assert ("image", "") not in m1
