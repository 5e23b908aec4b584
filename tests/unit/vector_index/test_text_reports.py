"""Reports of one template on different events stay apart; copies of one report stay together. Chinese and English.

None of these templates is among those that the weights were fitted on.
"""

from __future__ import annotations

import itertools

import pytest

from vector_index.policies import POLICIES
from vector_index.ranking.text import TextContainment
from vector_index.ranking.text_pair import TextProfile

RANKER = TextContainment()
REPORTS: dict[str, tuple[str, ...]] = {
    "earthquake, zh": (
        "中国地震台网正式测定：9月12日14时27分在四川泸定县附近（北纬29.59度，东经102.08度）发生5.3级地震，震源深度16千米。",
        "中国地震台网正式测定：3月4日06时51分在云南漾濞县附近（北纬25.67度，东经99.87度）发生4.8级地震，震源深度10千米。",
        "中国地震台网正式测定：9月12日22时08分在新疆库车市附近（北纬41.15度，东经83.63度）发生3.9级地震，震源深度12千米。",
    ),
    "earthquake, en": (
        "A magnitude 5.9 earthquake struck 42 km southwest of Padang, Indonesia, on Tuesday at a depth of 31 km, the "
        "USGS said. There were no immediate reports of damage or casualties.",
        "A magnitude 6.4 earthquake struck 18 km east of Valdivia, Chile, on Friday at a depth of 57 km, the USGS "
        "said. There were no immediate reports of damage or casualties.",
        "A magnitude 4.7 earthquake struck 60 km north of Lamia, Greece, on Sunday at a depth of 12 km, the USGS said. "
        "There were no immediate reports of damage or casualties.",
    ),
    "storm, zh": (
        "中央气象台7月23日18时发布台风黄色预警：今年第5号台风预计24日夜间在福建晋江到广东汕头一带沿海登陆，最大风力14级。",
        "中央气象台9月1日10时发布台风黄色预警：今年第11号台风预计3日白天在浙江象山到福建福鼎一带沿海登陆，最大风力12级。",
    ),
    "fire, en": (
        "Firefighters were called to a warehouse on Harbour Street in Dunedin shortly after 3 am on Monday. Six "
        "crews fought the blaze for four hours; nobody was hurt.",
        "Firefighters were called to a warehouse on Mill Road in Hobart shortly after 11 pm on Thursday. Nine "
        "crews fought the blaze for two hours; nobody was hurt.",
    ),
    "obituary, zh": (
        "著名作家周立文先生因病于2024年5月8日在南京逝世，享年87岁。遗体告别仪式定于5月12日上午9时举行。",
        "著名作家沈怀远先生因病于2025年11月2日在武汉逝世，享年91岁。遗体告别仪式定于11月6日上午10时举行。",
    ),
    "result, en": (
        "Kerber beat Halep 6-3, 4-6, 7-5 in two hours and 12 minutes to reach the quarter-finals in Stuttgart.",
        "Osaka beat Sakkari 7-6, 6-2 in one hour and 34 minutes to reach the quarter-finals in Madrid.",
    ),
}
DIFFERENT = [
    pytest.param(one, other, id=f"{name} {n}")
    for name, reports in REPORTS.items()
    for n, (one, other) in enumerate(itertools.combinations(reports, 2))
]
COPIES = [
    pytest.param(report, changed(report), id=f"{name} {n} {how}")
    for name, reports in REPORTS.items()
    for n, report in enumerate(reports)
    for how, changed in (
        ("quoted", lambda said: f"//@小王:{said} http://t.cn/A6x"),
        ("with a remark", lambda said: said + (" 平安！" if said[0] > "z" else " Stay safe!")),
        ("cut", lambda said: said[: len(said) * 7 // 10] + "…"),
        ("loud", lambda said: "❗" + said.upper().replace("，", " ").replace(", ", " ") + "❗"),
    )
]


def probability(one: str, other: str) -> float:
    return RANKER.probability(TextProfile.of(one), TextProfile.of(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_reports_of_different_events_stay_apart(one: str, other: str) -> None:
    assert probability(one, other) == pytest.approx(probability(other, one))
    assert probability(one, other) < min(policy.thresholds["post"] for policy in POLICIES.values())


@pytest.mark.parametrize(("one", "other"), COPIES)
def test_copies_of_a_report_stay_together(one: str, other: str) -> None:
    assert probability(one, other) >= POLICIES["feed"].thresholds["post"]


def test_one_fact_is_enough_to_tell_two_reports_apart_from_a_copy() -> None:
    report = REPORTS["earthquake, zh"][0]
    copy = probability(report, report + "转发")
    for fact, other in (("5.3级", "3.1级"), ("泸定", "昆明"), ("四川泸定县", "云南漾濞县"), ("9月12日", "2月3日")):
        assert probability(report, report.replace(fact, other)) < copy
