"""What people do to a text when they post it again: one function an attack, each with a strength of 1 to 3.

None of them changes what the text says: digits survive typing errors, and a cut leaves at least a third.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from importlib.resources import files

Attack = Callable[[str, random.Random, int], str]
_SIGNS = re.compile(r"[^\w\s@#/:]")
_EMOJI = "😀😂🤣😍🙏👍🔥✨🎉💯🌹❤️👏😭🤔"
_STICKERS = ("[赞]", "[泪]", "[哈哈]", "[good]", "[心]", "[吃瓜]", "[捂脸]")
_REMARKS = (
    "说得太对了", "必须转一下", "大家都来看看", "哈哈哈哈", "不知道真假", "收藏了慢慢看", "这是真的吗",
    "有没有懂的说说", "第一次看到这个", "转给需要的朋友", "太有意思了",
    "look at this", "so true", "sharing for later", "today I learned",
)  # fmt: skip
_TAGS = ("每日一读", "今日要闻", "身边事", "涨知识", "生活记录", "news", "readthis", "周末好去处", "同城")
_NAMES = ("阳光少年", "北方的狼", "momo", "小王同学", "Kitty_2008", "老李说事", "一只猫", "user8817", "晨跑者")
_FILLERS = ("的", "了", "啊", "吧", "就", "也", "还", "呀")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SYNONYMS = (
    ("但是", "不过"), ("因为", "由于"), ("所以", "因此"), ("非常", "特别"), ("现在", "目前"), ("已经", "早已"),
    ("问题", "难题"), ("希望", "盼望"), ("认为", "觉得"), ("重要", "关键"), ("大家", "各位"), ("可以", "能够"),
    ("进行", "开展"), ("发现", "看到"), ("开始", "着手"), ("人们", "大伙"), ("今天", "今日"), ("昨天", "昨日"),
    ("however", "but"), ("must", "has to"), ("value", "quantity"), ("called", "named"), ("which", "that"),
)  # fmt: skip


def typing(text: str, rng: random.Random, strength: int) -> str:
    """Characters dropped, doubled, swapped or mistaken, 2 % a strength; never digits."""
    signs = list(text)
    for i in range(len(signs) - 1):
        if rng.random() > 0.02 * strength or any(sign.isdigit() for sign in text[max(0, i - 1) : i + 2]):
            continue
        match rng.randrange(4):
            case 0:
                signs[i] = ""
            case 1:
                signs[i] *= 2
            case 2:
                signs[i], signs[i + 1] = signs[i + 1], signs[i]
            case _:
                signs[i] = rng.choice(_LETTERS) if text[i].isascii() else rng.choice(text + "是在有我他")
                signs[i] = "" if signs[i].isdigit() else signs[i]
    return "".join(signs)


def fillers(text: str, rng: random.Random, strength: int) -> str:
    """Small words put in."""
    for _ in range(strength * max(1, len(text) // 60)):
        i = rng.randint(0, len(text))
        if text[max(0, i - 1) : i + 1].isdigit():
            continue
        text = text[:i] + rng.choice(_FILLERS) + text[i:]
    return text


def decoration(text: str, rng: random.Random, strength: int) -> str:
    """Emoji and sticker codes anywhere."""
    for _ in range(2 * strength):
        i = rng.randint(0, len(text))
        text = text[:i] + rng.choice((rng.choice(_EMOJI), rng.choice(_STICKERS))) + text[i:]
    return text


def signs(text: str, rng: random.Random, strength: int) -> str:
    """Other punctuation: dropped, replaced, tripled or made into spaces; decimal points with it."""
    other = rng.choice(("", " ", "!", "…", "～", ",", "。。。"))
    return _SIGNS.sub(lambda m: other if rng.random() < 0.33 * strength else m.group(), text)


def spacing(text: str, rng: random.Random, strength: int) -> str:
    """Spaces, zero-width characters or separators between characters, never inside numbers."""
    gap = rng.choice((" ", "\u200b", "\u2060", "·", "|", "\n"))
    return re.sub(r"(?<=[^\d\s])(?=[^\d\s])", lambda _: gap if rng.random() < 0.1 * strength**2 else "", text)


def traditional(text: str, rng: random.Random, strength: int) -> str:
    """Simplified to traditional characters."""
    table = files("opencc").joinpath("dictionary", "STCharacters.txt").read_text(encoding="utf-8")
    pairs = (line.split("\t") for line in table.splitlines() if "\t" in line)
    return text.translate({ord(old): rng.choice(new.split(" ")[:strength]) for old, new in pairs if len(old) == 1})


def width(text: str, rng: random.Random, strength: int) -> str:
    """Full-width letters and digits, or another case."""
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    return (text.translate(wide), text.upper(), text.lower(), unicodedata.normalize("NFKD", text))[
        rng.randrange(2 + strength // 2)
    ]


def cut(text: str, rng: random.Random, strength: int) -> str:
    """The beginning, the end or the middle is kept: 80, 65 or 45 % of it."""
    kept = max(6, int(len(text) * (0.95 - 0.16 * strength) * rng.uniform(0.9, 1.1)))
    start = rng.choice((0, max(0, len(text) - kept), rng.randint(0, max(0, len(text) - kept))))
    return ("…" if start else "") + text[start : start + kept] + rng.choice(("", "…", "...全文"))


def remark(text: str, rng: random.Random, strength: int) -> str:
    """A comment before or after, perhaps with a number of its own."""
    for _ in range(strength):
        words = rng.choice(_REMARKS) + (f"{rng.randint(2, 40)}个" if rng.random() < 0.15 else "")
        text = f"{words}{rng.choice('，!: ')}{text}" if rng.random() < 0.5 else f"{text}{rng.choice('。 ,')}{words}"
    return text


def platform(text: str, rng: random.Random, strength: int) -> str:
    """Links, mentions, topics, repost marks."""
    for _ in range(strength):
        name, tag = rng.choice(_NAMES), rng.choice(_TAGS) + rng.choice(("", "", str(rng.randint(1, 99))))
        text = rng.choice(
            (
                f"//@{name}:{text}", f"//@{name}：{text}", f"转发微博 {text}", f"RT @{name}: {text}", f"{text} @{name}",
                f"#{tag}#{text}", f"{text} #{tag}", f"{text} https://t.cn/A6{rng.randrange(10**6)}",
                f"回复@{name}:{text}",
                f"{text} http://weibo.com/{rng.randrange(10**9)}", f"【{tag}】{text}",
            )
        )  # fmt: skip
    return text


def synonyms(text: str, rng: random.Random, strength: int) -> str:
    """Other words for the same."""
    for one, other in _SYNONYMS:
        if rng.random() < 0.3 * strength:
            text = text.replace(one, other) if one in text else text.replace(other, one)
    return text


def order(text: str, rng: random.Random, strength: int) -> str:
    """Sentences or clauses in another order."""
    parts = re.split(r"(?<=[。！？!?])|(?<=\. )" if strength < 3 else r"(?<=[。！？!?，；])|(?<=[.,] )", text)
    rng.shuffle(parts)
    return "".join(parts)


ATTACKS: tuple[Attack, ...] = (
    typing, fillers, decoration, signs, spacing, traditional, width, cut, remark, platform, synonyms, order,
)  # fmt: skip


def attacked(text: str, rng: random.Random, attacks: Sequence[Attack] = ATTACKS) -> str:
    """One to four attacks, one after another."""
    for attack in rng.sample(attacks, rng.choice((1, 1, 2, 2, 3, 4))):
        text = attack(text, rng, rng.randint(1, 3))
    return text
