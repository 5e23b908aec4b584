"""Fit the topic model on texts with labels, and on Chinese news labelled by seed words.

    python -m benchmarks.fit.text_topics [--cache DIR]   # writes model_plugins/features/data/topics.npz

English: sections of BBC News (2,103 distinct articles) and the 20 newsgroups whose subject is one of our fields, both
labelled by their sources, whole and cut into sentences, since posts are short. Chinese: no labelled corpus of clean
licence was found in the registries; so the field's terms of THUOCL (finance, IT, medicine) stand as texts, and
paragraphs of the People's Daily get the field whose seed words (below, our own) they hold at least two of, and no
other field's. Judged on texts that no fit has seen: a fifth of the English articles and posts, and Chinese paragraphs
labelled by hand (`benchmarks/labelled/topics_zh.jsonl`).
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from benchmarks.fit.labelled_texts import bbc_articles, chinese_news, newsgroup_posts, reference, terms
from benchmarks.fit.photos import default_cache
from model_plugins.features.topics import BUCKETS, FIELDS, Model, probabilities, row

TARGET: Final = Path("model_plugins/features/data/topics.npz")
LABELLED_ZH: Final = Path("benchmarks/labelled/topics_zh.jsonl")
_FIELD_OF: Final = {
    "business": "business",
    "entertainment": "entertainment",
    "politics": "politics",
    "sports": "sports",
    "tech": "technology",
    "rec.autos": "autos",
    "rec.motorcycles": "autos",
    "rec.sport.baseball": "sports",
    "rec.sport.hockey": "sports",
    "sci.med": "health",
    "sci.electronics": "technology",
    "sci.space": "technology",
    "comp.graphics": "technology",
    "comp.sys.ibm.pc.hardware": "technology",
    "comp.sys.mac.hardware": "technology",
    "comp.windows.x": "technology",
    "talk.politics.mideast": "politics",
    "talk.politics.misc": "politics",
}
_TERMS_OF: Final = {"财经": ("business", 500), "IT": ("technology", 1500), "医药": ("health", 1500)}
_SEEDS: Final = {
    "autos": "汽车 轿车 驾驶 公路 车辆 司机 摩托车 交通事故 高速公路 发动机 出租车 客车 机动车 驾车 车型 行车",
    "business": "市场 企业 经济 金融 银行 股票 投资 价格 贸易 出口 外汇 利润 "
    "债券 国企 资金 美元 股市 证券 商品 销售 生产 税",
    "entertainment": "电影 演出 导演 音乐 晚会 演员 歌曲 文艺 艺术 电视剧 戏剧 舞蹈 "
    "书法 画家 小说 诗 观众 剧团 京剧 作家 摄影 出版",
    "health": "医院 医生 患者 疾病 治疗 病人 药 手术 医疗 健康 卫生 癌 护士 疫苗 症状 细胞 病毒",
    "politics": "总统 总理 外交 主席 会谈 政府 会见 议会 外长 和平 国务院 人大 "
    "政协 选举 访问 大使 两国 联合国 中央 书记 部长 法律",
    "sports": "比赛 冠军 运动员 足球 球队 教练 奥运 选手 体育 锦标赛 排球 篮球 "
    "乒乓球 联赛 决赛 金牌 世界杯 游泳 队员 羽毛球",
    "technology": "计算机 科技 技术 软件 网络 电脑 科学家 研究所 卫星 科研 信息 研制 "
    "因特网 火箭 实验 激光 工程师 院士 电子",
}
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
Pairs = list[tuple[str, str]]


def english(cache: Path) -> tuple[Pairs, Pairs]:
    """(to fit, to judge) of whole texts with their fields; every fifth text is kept out, by the hash of its text."""
    rows = [*bbc_articles(cache), *newsgroup_posts(cache)]
    kept = [(r.text[:4000], _FIELD_OF[r.label]) for r in rows if r.label in _FIELD_OF]
    fit = [pair for pair in kept if int(reference(pair[0]), 16) % 5]
    return fit, [pair for pair in kept if int(reference(pair[0]), 16) % 5 == 0]


def pieces(pairs: Pairs, rng: random.Random, of_each: int) -> Pairs:
    """So many times one or two sentences of each text, since posts are short."""
    found = []
    for text, field in pairs:
        sentences = [s for s in _SENTENCE.split(text) if len(s) > 40]
        for _ in range(of_each if len(sentences) > 2 else 0):
            start = rng.randrange(len(sentences) - 1)
            found.append((" ".join(sentences[start : start + rng.choice((1, 2))]), field))
    return found


def judged_zh(cache: Path) -> Pairs:
    """Chinese paragraphs labelled by hand."""
    by_hash = {reference(text): text for text in chinese_news(cache)}
    rows = (json.loads(line) for line in LABELLED_ZH.read_text(encoding="utf-8").splitlines())
    return [(by_hash[r["reference"]], r["label"]) for r in rows]


def chinese(cache: Path, rng: random.Random) -> Pairs:
    """Terms, and paragraphs by their seed words; without the paragraphs that were labelled by hand."""
    table = terms(cache)
    found = [(word, field) for name, (field, most) in _TERMS_OF.items() for word in table[name][:most]]
    unseen = {text for text, _ in judged_zh(cache)}
    seeds = {field: words.split() for field, words in _SEEDS.items()}
    by_field: dict[str, list[str]] = {field: [] for field in FIELDS}
    for text in chinese_news(cache):
        hits = {field: sum(word in text for word in words) for field, words in seeds.items()}
        best = max(hits, key=lambda field: hits[field])
        if hits[best] >= 2 and sum(hits.values()) == hits[best] and text not in unseen:
            by_field[best].append(text)
    for field, texts in by_field.items():
        found += [(text, field) for text in rng.sample(texts, min(len(texts), 1200))]
    return found


def matrix(texts: Iterable[str]) -> csr_matrix:
    """Hashed rows, as the plug-in makes them."""
    starts, columns, values = [0], [], []
    for text in texts:
        buckets, numbers = row(text)
        columns.append(buckets)
        values.append(numbers)
        starts.append(starts[-1] + len(buckets))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), starts), shape=(len(starts) - 1, BUCKETS))


def fit(pairs: Pairs, strength: float = 8.0) -> tuple[Model, np.ndarray, float]:
    """(model, int8 weights, their scale)."""
    learner = LogisticRegression(C=strength, max_iter=400, class_weight="balanced")
    learner.fit(matrix(text for text, _ in pairs), [FIELDS.index(field) for _, field in pairs])
    exact = learner.coef_.T
    scale = float(np.percentile(np.abs(exact), 99.9) / 127)
    small = np.clip(np.rint(exact / scale), -127, 127).astype(np.int8)
    return Model(small.astype(np.float32) * np.float32(scale), learner.intercept_.astype(np.float32)), small, scale


def accuracy(pairs: Pairs, model: Model) -> float:
    """Share of texts whose most probable field is the label."""
    answers = [probabilities(text, model) for text, _ in pairs]
    right = [a is not None and FIELDS[int(a.argmax())] == f for a, (_, f) in zip(answers, pairs, strict=True)]
    return sum(right) / len(right)


def main() -> None:
    """Fit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    arguments = parser.parse_args()
    rng = random.Random(11)
    whole, kept_out = english(arguments.cache)
    known = [*whole, *pieces(whole, rng, 5), *chinese(arguments.cache, rng)]
    model, small, scale = fit(known)
    np.savez_compressed(TARGET, weights=small, scale=np.float32(scale), bias=model.bias)
    short = pieces(kept_out, rng, 1)
    by_hand = [pair for pair in judged_zh(arguments.cache) if pair[1] in FIELDS]
    figures = {
        "fitted_on": len(known),
        "english_texts": [len(kept_out), round(accuracy(kept_out, model), 4)],
        "english_sentences": [len(short), round(accuracy(short, model), 4)],
        "chinese_by_hand": [len(by_hand), round(accuracy(by_hand, model), 4)],
        "bytes": TARGET.stat().st_size,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
