from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.records import Candidate
from vector_index.ranking.post import PostRule
from vector_index.ranking.protocol import Evidence, Recall

RULE = PostRule()
NOTHING = Recall({})
LONG = "老街尽头那家面馆开了二十多年，老板娘总记得每位熟客的口味。"
OTHER = "请问这款手机的电池能用多久？续航怎么样，发热严重吗？"
A, B, C = ("image", "cA"), ("image", "cB"), ("video", "cC")
Parts = tuple[tuple[str, str], ...]


def judge(one: tuple[str, Parts], other: tuple[str, Parts]) -> Candidate:
    query = Evidence(material_id="q", kind="post", text=one[0], parts=one[1])
    candidate = Evidence(material_id="r", kind="post", text=other[0], parts=other[1], content_id="c")
    (answer,) = RULE.rank(query, [candidate], NOTHING)
    assert (answer.material_id, answer.content_id, answer.ranker) == ("r", "c", "post-rule@1")
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
