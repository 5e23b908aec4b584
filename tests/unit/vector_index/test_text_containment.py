from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector_index.ranking.post import PostRule
from vector_index.ranking.protocol import Evidence, Ranker, Recall, RecallHit
from vector_index.ranking.text import FAINT, NEVER, TextContainment, TextWeights
from vector_index.ranking.text_pair import FEATURES, TextProfile, pair_features, profile_of

RANKER = TextContainment()
NOTICE = "【通知】青岛图书馆将于5月17日9时至12时举办少儿绘本讲座，名额38人，请家长带孩子准时到二楼报告厅签到参加。"
STORY = "老街尽头那家面馆开了二十多年，老板娘总记得每位熟客的口味，下雨天会多给一勺热汤，让人心里暖和。"
ENGLISH = "The museum will open its new wing on Friday at 10:30 with a talk by the architect, followed by a free tour."


def probability(one: str, other: str) -> float:
    return RANKER.probability(TextProfile.of(one), TextProfile.of(other))


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        (NOTICE, NOTICE),
        (NOTICE, "//@小王:" + NOTICE + " http://t.cn/A6 #周末去哪儿#"),
        (
            NOTICE,
            "【通知】青島圖書館將於5月17日9時至12時舉辦少兒繪本講座 名額38人 請家長帶孩子準時到二樓報告廳簽到參加",
        ),
        (STORY, STORY[:32] + "……"),
        (STORY, "转一个，太暖了！！" + STORY + "[泪]"),
        (STORY, STORY.replace("总记得", "总是记住").replace("暖和", "暖洋洋")),
        (ENGLISH, ENGLISH.upper() + " so true"),
        (ENGLISH, ENGLISH[:70] + "…"),
    ],
)
def test_copies(text: str, copy: str) -> None:
    assert probability(text, copy) > 0.8


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (NOTICE, STORY),
        (NOTICE, ENGLISH),
        (NOTICE, NOTICE.replace("5月17日", "6月3日").replace("38人", "25人")),
        (NOTICE, NOTICE.replace("青岛", "昆明").replace("17日", "21日")),
        (ENGLISH, ENGLISH.replace("10:30", "14:00").replace("museum", "library").replace("Friday", "Monday")),
        (STORY, "面馆"),
        (STORY, "老街"),
        ("第3集", "第4集"),
        (STORY, "我家附近的超市打折，鸡蛋便宜了不少，排队的人从门口一直排到马路边上，站了半个小时才买到。"),
    ],
)
def test_other_texts(text: str, other: str) -> None:
    assert probability(text, other) < 0.3


def test_another_place_lowers_the_score() -> None:
    assert probability(NOTICE, NOTICE.replace("青岛", "昆明")) < 0.5 < probability(NOTICE, NOTICE)


def test_a_number_more_is_no_conflict_but_another_number_is() -> None:
    more = probability(NOTICE, NOTICE + "转发抽3人")
    other = probability(NOTICE, NOTICE.replace("38人", "41人").replace("9时", "8时"))
    assert other < 0.5 < more


@pytest.mark.parametrize(
    ("one", "other", "conflicts"),
    [
        ("共3.8级和7级", "共38级和7级", 0),
        ("于10:30开始", "于1030开始", 0),
        ("共05人", "共5人", 0),
        ("共35人", "共三十五人", 0),
        ("共5人和6人", "共6人和5人", 0),
        ("共5人", "共5人和6人", 0),
        ("共5人", "共6人", 1),
        ("共5人共5人", "共5人共7人", 1),
        ("共5人6人", "共7人8人", 2),
        ("电话1365912", "电话1[心]3659 12", 0),  # decoration inside
        ("收于137.85点", "收于137～85点", 0),  # another decimal sign
        ("#今日33#共5人到", "共5人到", 0),  # a topic's number, glued to it in the normal form
        ("月薪4685元", "月薪468…", 0),  # cut inside
        ("现金8052元", "…052元", 0),
        ("月薪4685元起", "月薪468元起", 1),
    ],
)
def test_conflicting_numbers(one: str, other: str, conflicts: int) -> None:
    features = dict(zip(FEATURES, pair_features(TextProfile.of(one), TextProfile.of(other)).tolist(), strict=True))
    assert features["conflicting_numbers"] == conflicts


@pytest.mark.parametrize(
    ("one", "other", "runs"),
    [
        ("今天张三在公园散步", "今天李四在公园散步", 1),
        ("今天张三在公园散步", "今天在公园散步", 0),
        ("今天张三在公园散步", "今天张五在公园散步", 0),  # one character: a typing error
        ("张三在公园散步", "李四在公园散步", 0),  # at the end: a cut
        ("他根据淮北的实际需要", "他根淮据北的实际需要", 0),  # swapped
        ("今天35在公园散步", "今天68在公园散步", 0),  # digits are counted as numbers
    ],
)
def test_replaced_runs(one: str, other: str, runs: int) -> None:
    features = dict(zip(FEATURES, pair_features(TextProfile.of(one), TextProfile.of(other)).tolist(), strict=True))
    assert features["replaced_runs"] == runs


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("open at the Lakeside store today", "open at the Oakdale store today", 1),
        ("open at the Lakeside store today", "open at the Lakseide store today", 0),  # a typing error
        ("open at the Lakeside store today", "open at the Lake side store today", 0),
        ("open at the Lakeside store today", "open at the store today", 0),
        ("open at the Lakeside store today", "OPEN at the LAKESIDE store", 0),
        ("amber birch cedar dune elm", "forge glint humid ivory jolly", 3),  # five: more than three is no more telling
    ],
)
def test_conflicting_words(one: str, other: str, words: int) -> None:
    features = dict(zip(FEATURES, pair_features(TextProfile.of(one), TextProfile.of(other)).tolist(), strict=True))
    assert features["conflicting_words"] == words


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("青岛到昆明的车", "北京到昆明的车", 1),
        ("青岛到昆明的车", "到昆明的车", 0),
        ("石家庄的书店", "哈尔滨的书店", 1),
        ("股价周一上涨", "股价周一下跌", 1),
        ("股价周一上涨", "股价周一上升", 0),  # the same claim
        ("股价周一上涨", "股价周五下跌", 2),
    ],
)
def test_conflicting_names(one: str, other: str, names: int) -> None:
    features = dict(zip(FEATURES, pair_features(TextProfile.of(one), TextProfile.of(other)).tolist(), strict=True))
    assert features["conflicting_names"] == names


@pytest.mark.parametrize("text", [NOTICE, NOTICE * 40, "x"])
def test_a_remembered_profile_is_the_text_s_own(text: str) -> None:
    for found in (profile_of(text), profile_of(text)):
        own = TextProfile.of(text)
        assert (found.normal, found.numbers, found.words) == (own.normal, own.numbers, own.words)
        assert found.weights.tolist() == own.weights.tolist()


def test_equal_texts_have_the_extreme_features() -> None:
    profile = TextProfile.of(NOTICE)
    features = dict(zip(FEATURES, pair_features(profile, profile).tolist(), strict=True))
    assert features["cosine"] == pytest.approx(1)
    assert features["smaller_containment"] == pytest.approx(1)
    assert features["length_ratio"] == features["conflicting_numbers"] == features["conflicting_names"] == 0


texts = st.text(alphabet="今天电影很好看青岛北京周一abc 3859.,@#😂", max_size=60)


@given(texts, texts)
def test_symmetric_and_a_probability(one: str, other: str) -> None:
    score = probability(one, other)
    assert 0 <= score <= 1
    assert score == pytest.approx(probability(other, one), abs=1e-9)


@pytest.mark.parametrize("nothing", ["", "😂", "a", "@小明"])
def test_nothing_to_compare(nothing: str) -> None:
    assert probability(nothing, NOTICE) == probability(nothing, nothing) == NEVER


def test_rank_answers_for_every_candidate() -> None:
    query = Evidence(material_id="q", kind="post", text=STORY)
    candidates = [
        Evidence(material_id="a", kind="post", text=NOTICE, content_id="c1"),
        Evidence(material_id="b", kind="post", text=STORY, content_id="c2"),
    ]
    hits = (RecallHit("b", "c2", 0.98), RecallHit("b", "c2", 0.5))
    recall = Recall({"text-embedding@1": hits, "post-parts": (RecallHit("a", "c1", 3.0),)})
    ranker: Ranker = RANKER
    first, second = ranker.rank(query, candidates, recall)
    assert (first.material_id, first.content_id, first.recall_score, first.ranker) == ("a", "c1", 0.0, RANKER.name)
    assert (second.material_id, second.relation, second.recall_score) == ("b", "same", 0.98)
    assert second.score > 0.9 > first.score
    assert ranker.rank(query, [], Recall({})) == []


def test_weights_for_other_features_are_refused() -> None:
    with pytest.raises(ValueError, match="weights are for"):
        TextContainment(TextWeights(weights={"cosine": 1.0, "cosine*mood": 1.0}, bias=0.0))


def pairs() -> Iterator[tuple[TextProfile, TextProfile]]:
    for text in (NOTICE, STORY, ENGLISH):
        yield TextProfile.of(text), TextProfile.of(text[5:] + "完")


def test_a_pair_is_cheap() -> None:
    known = list(pairs())
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        for one, other in known * 10:
            RANKER.probability(one, other)
        best = min(best, (time.process_time() - began) / 30)
    assert best < 5e-3  # a loaded machine's bound; 0.15 ms is what to expect


@pytest.mark.parametrize("ranker", [RANKER, PostRule()])
def test_a_faint_hit_is_not_read_and_any_other_is(ranker: Ranker) -> None:
    copies = [Evidence(material_id=name, kind="post", text=STORY + "[泪]") for name in ("faint", "near", "centre")]
    hits = {"text-embedding@1": (RecallHit("faint", "", FAINT - 0.01), RecallHit("near", "", FAINT))}
    faint, near, centre = ranker.rank(Evidence(material_id="q", kind="post", text=STORY), copies, Recall(hits))
    assert faint.score == NEVER
    assert near.score == centre.score > 0.9


@given(st.permutations([NOTICE, ENGLISH, "早安", STORY[:20], "三十五个人排队，等了40分钟。" * 3, NOTICE[::-1]]))
def test_texts_as_far_apart_as_a_faint_hit_are_no_copies(pieces: list[str]) -> None:
    """Also where a short one stands whole in a long one."""
    for number in range(1, len(pieces)):
        one, other = TextProfile.of(pieces[0]), TextProfile.of("".join(pieces[:number]) + STORY * 2)
        if pair_features(one, other)[0] < FAINT:
            assert RANKER.probability(one, other) < 0.1
