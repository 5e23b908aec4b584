"""Posts that share every word but their facts: another number, place, name or day makes another post."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

_DATA = Path(__file__).resolve().parents[2] / "vector_index" / "ranking" / "data" / "text_names.json"
_PLACES: list[str] = json.loads(_DATA.read_text(encoding="utf-8"))["places"]
_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕施张孔曹严华金魏陶姜"
_GIVEN = "伟芳娜敏静丽强磊洋艳勇军杰娟涛超明霞平刚桂英华玉兰飞鹏宇欣怡子涵"
_BRANDS = (
    "华光",
    "远景",
    "蓝海",
    "金鼎",
    "新源",
    "恒达",
    "中科",
    "东方",
    "天宇",
    "博锐",
    "盛唐",
    "嘉禾",
    "云帆",
    "启明",
)
_GOODS = ("手机", "冰箱", "洗衣机", "电动车", "羽绒服", "大米", "耳机", "路由器", "牛奶", "保温杯", "台灯", "键盘")
_TEAMS = ("Lions", "Tigers", "Rovers", "United", "Wolves", "Eagles", "Sharks", "Bears", "Comets", "Kings")
_CITIES = ("Springfield", "Riverton", "Lakeside", "Oakdale", "Hilltown", "Bayview", "Westport", "Fairview", "Milton")
_DAYS = "一二三四五六日"

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("【航班延误】原定{month}月{day}日{clock}由{place}飞往{place}的{upper}{big}次航班因天气原因推迟至{clock}起飞，请旅客留意。",),
    ("{brand}股份({six})今日收盘报{price}元，{rise}{percent}%，成交额{price}亿元，换手率{percent}%。",),
    ("停电通知：{place}{brand}小区{month}月{day}日{hour}时至{hour}时检修线路停电，涉及{small}栋楼{big}户居民。",),
    ("{place}{month}月新建商品住宅均价{big}元/平方米，环比{rise}{percent}%，成交{big}套。",
     "快讯：{place}楼市{month}月成交{big}套，均价每平米{big}元"),
    ("【促销】{brand}{goods}限时特价{big}元，原价{big}元，仅限{month}月{day}日前{small}名下单的顾客！",),
    ("{person}以{minutes}的成绩夺得{place}马拉松男子组冠军，{person}获得亚军，共有{big}人参赛。",),
    ("招聘：{brand}公司{place}分公司诚聘{goods}销售{small}名，月薪{big}元，电话{phone}，联系人{person}。",),
    ("{brand}杯足球赛星期{weekday}继续进行，{place}队{score}战胜{place}队，{person}第{small}分钟打入制胜球。",),
    ("油价调整：{month}月{day}日24时起，{place}92号汽油每升{rise}{fraction}元，调整后为{price}元。",),
    ("转让{brand}{goods}一台，用了{small}个月，九成新，{big}元不议价，{place}同城自提，微信{phone}。",),
    ("电影《{person}》上映{small}天累计票房{price}亿元，单日排片{percent}%，{place}观影人次{big}。",),
    ("【失物招领】{month}月{day}日在{place}站{small}号出口捡到黑色钱包，内有现金{big}元及{person}身份证，请速联系{phone}。",),
    ("空气质量播报：{place}{hour}时AQI为{three}，PM2.5浓度{three}微克/立方米，首要污染物{brand}，建议减少外出。",),
    ("讣告：{person}同志因病医治无效，于{year}年{month}月{day}日{clock}在{place}逝世，享年{two}岁。",),
    ("订单{phone}已发出，{brand}快递单号{six}{six}，预计{month}月{day}日送达{place}，取件码{six}。",),
    ("Final score: {team} {small}, {team} {small}. {city} crowd of {big} saw a late winner in minute {two}.",),
    ("Flight {upper}{three} from {city} to {city} is now boarding at gate {small}; departure {clock}.",),
    ("{city} police are looking for a {two}-year-old man last seen on day {small} near {number} Main Street.",),
    ("Sale! {goodsen} now ${price}, was ${big}. Only {small} left in our {city} store until {clock} today.",),
    ("Earnings: {team} Inc. reported revenue of ${price} billion, {percent}% above a year ago, EPS ${fraction}.",),
)  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\}")


def post(template: str, rng: random.Random) -> str:
    """One post: every slot filled."""
    return _SLOT.sub(lambda slot: _fill(slot.group(1), rng), template)


def twins(template: str, rng: random.Random) -> tuple[str, str]:
    """Two posts of a template that differ in one to three facts only: the hardest negatives."""
    slots = _SLOT.findall(template)
    first = [_fill(slot, rng) for slot in slots]
    second = list(first)
    while first == second:
        for i in rng.sample(range(len(slots)), min(len(slots), rng.choice((1, 2, 3)))):
            second[i] = _fill(slots[i], rng)
    return _written(template, first), _written(template, second)


def _written(template: str, facts: list[str]) -> str:
    left = iter(facts)
    return _SLOT.sub(lambda _: next(left), template)


def _fill(slot: str, rng: random.Random) -> str:
    match slot:
        case "place":
            return rng.choice(_PLACES)
        case "person":
            return rng.choice(_SURNAMES) + "".join(rng.choices(_GIVEN, k=rng.choice((1, 2, 2))))
        case "brand" | "goods" | "team" | "city":
            return rng.choice({"brand": _BRANDS, "goods": _GOODS, "team": _TEAMS, "city": _CITIES}[slot])
        case "goodsen":
            return rng.choice(("Headphones", "Running shoes", "Desk lamps", "Jackets", "Keyboards"))
        case "rise":
            return rng.choice(("上涨", "下跌"))
        case "weekday":
            return rng.choice(_DAYS)
        case "clock":
            return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"
        case "price":
            return f"{rng.uniform(1, 99):.{rng.choice((1, 2))}f}"
        case "percent" | "fraction":
            return f"{rng.uniform(0, 9):.2f}"
        case "score":
            return f"{rng.randrange(1, 7)}:{rng.randrange(5)}"
        case "minutes":
            return f"2小时{rng.randrange(5, 50)}分{rng.randrange(60)}秒"
        case "upper":
            return "".join(rng.choices("ABCDEFHKMU", k=2))
        case _:
            lowest, highest = _RANGES[slot]
            return str(rng.randint(lowest, highest))


_RANGES = {
    "month": (1, 12),
    "day": (1, 28),
    "hour": (0, 23),
    "small": (2, 40),
    "two": (10, 99),
    "three": (100, 499),
    "number": (1, 999),
    "big": (100, 30_000),
    "year": (1998, 2026),
    "six": (100_000, 999_999),
    "phone": (13_000_000_000, 18_999_999_999),
}
