"""Fit `vector_index/ranking/data/text.json`: the weights of `text-containment@1`.

    python -m benchmarks.fit.text_ranker [--cache DIR]

References are texts of the corpus and posts of templates; queries are attacked copies of a part of them, attacked texts
that have no reference, posts of the same templates with other facts, and posts of a word or two. Recall gives each
query's ten nearest; the regression learns which of them is its source. Template families are folds: each is judged by
weights that never saw it.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.fit.photos import default_cache
from benchmarks.fit.text_attacks import attacked, decoration, platform, remark, signs
from benchmarks.fit.text_corpus import texts
from benchmarks.fit.text_scores import average_precision, embed, nearest
from benchmarks.fit.text_templates import FAMILIES, post, twins
from materials.text import normalise
from vector_index.ranking.text import NAME
from vector_index.ranking.text_pair import FEATURES, TextProfile, pair_features

WEIGHTS = Path(__file__).resolve().parents[2] / "vector_index" / "ranking" / "data" / "text.json"
FOLDS = 4
TERMS = FEATURES + tuple(f"{a}*{b}" for i, a in enumerate(FEATURES) for b in FEATURES[i:])
CORPUS_REFERENCES, CORPUS_STRANGERS, PER_FAMILY, SNIPPETS = 5_000, 1_500, 150, 500


class Pairs(NamedTuple):
    """`features`: float64 (n, f); `truth`: bool (n,); `family`: int (n,), -1 for corpus texts.

    `positives`: how many queries have a source, by family.
    """

    features: NDArray[np.float64]
    truth: NDArray[np.bool_]
    family: NDArray[np.int64]
    positives: dict[int, int]


def make_pairs(cache: Path, seed: int) -> Pairs:
    """The training pairs."""
    rng = random.Random(seed)
    corpus = texts(cache)[: CORPUS_REFERENCES + CORPUS_STRANGERS]
    references = corpus[:CORPUS_REFERENCES]
    snippets = _snippets(corpus, rng)
    sources: list[tuple[str, int, int]] = []  # query, reference or -1, family
    for i, text in enumerate(corpus):
        if i >= CORPUS_REFERENCES or rng.random() < 0.7:
            sources.append((attacked(text, rng), i if i < CORPUS_REFERENCES else -1, -1))
    for snippet in snippets[:SNIPPETS]:  # posts of a word or two: many long texts contain them and are no copies
        sources.append((attacked(snippet, rng, (decoration, signs, remark, platform)), len(references), -1))
        references.append(snippet)
    sources += [(snippet, -1, -1) for snippet in snippets[SNIPPETS:]]
    for family, templates in enumerate(FAMILIES):
        for _ in range(PER_FAMILY):
            text, twin = twins(rng.choice(templates), rng)
            sources.append((attacked(text, rng), len(references), family))
            sources.append((attacked(twin, rng) if rng.random() < 0.8 else twin, -1, family))
            references.append(text)
            sources.append((attacked(post(rng.choice(templates), rng), rng), -1, family))
    found = nearest(embed([query for query, _, _ in sources]), embed(references), 10)
    asked = [TextProfile.of(query) for query, _, _ in sources]
    known = [TextProfile.of(reference) for reference in references]
    positives: dict[int, int] = {}
    for _, reference, family in sources:
        positives[family] = positives.get(family, 0) + (reference >= 0)
    return Pairs(
        np.stack([pair_features(asked[q], known[r]) for q, r, _ in found]),
        np.array([sources[q][1] == r for q, r, _ in found]),
        np.array([sources[q][2] for q, _, _ in found]),
        positives,
    )


def _snippets(corpus: list[str], rng: random.Random) -> list[str]:
    """Distinct pieces of two to six letters, twice `SNIPPETS` of them, none a whole text."""
    found: dict[str, None] = {}
    while len(found) < 2 * SNIPPETS:
        text = normalise(rng.choice(corpus))
        start = rng.randrange(max(1, len(text) - 6))
        found[text[start : start + rng.randint(2, 6)]] = None
    pieces = [piece for piece in found if len(piece) >= 2]
    rng.shuffle(pieces)
    return pieces


def terms(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features and all products of two of them, in the order of `TERMS`."""
    return np.hstack([features, *(features[:, [i]] * features[:, i:] for i in range(features.shape[1]))])


def fit(features: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """(weights, bias) for terms as they are; the penalty is on standardised terms."""
    scaler = StandardScaler().fit(features)
    scale = np.where(scaler.scale_ > 1e-9, scaler.scale_, 1.0)
    model = LogisticRegression(C=0.3, max_iter=5_000).fit((features - scaler.mean_) / scale, truth)
    weights = model.coef_[0] / scale
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    pairs = make_pairs(args.cache, args.seed)
    fold = np.where(pairs.family >= 0, pairs.family % FOLDS, np.arange(len(pairs.family)) % FOLDS)
    inputs, logits = terms(pairs.features), np.zeros(len(fold))
    for held_out in range(FOLDS):
        weights, bias = fit(inputs[fold != held_out], pairs.truth[fold != held_out])
        logits[fold == held_out] = inputs[fold == held_out] @ weights + bias
    ap, recall = average_precision(logits, pairs.truth, sum(pairs.positives.values()))
    template = pairs.family >= 0
    ap_t, recall_t = average_precision(
        logits[template], pairs.truth[template], sum(n for family, n in pairs.positives.items() if family >= 0)
    )
    probability = 1 / (1 + np.exp(-logits))
    bins = np.clip((probability * 10).astype(int), 0, 9)
    error = sum(abs(float(probability[bins == b].sum() - pairs.truth[bins == b].sum())) for b in range(10)) / len(bins)
    weights, bias = fit(inputs, pairs.truth)
    stored = {
        "ranker": NAME,
        "weights": dict(zip(TERMS, (round(float(w), 4) for w in weights), strict=True)),
        "bias": round(bias, 4),
        "fitted": {
            "by": "benchmarks/fit/text_ranker.py",
            "seed": args.seed,
            "pairs": len(fold),
            "positive_pairs": int(pairs.truth.sum()),
            "held_out_families": {
                "micro_ap": round(ap, 4),
                "recall_at_p90": round(recall, 4),
                "templates_micro_ap": round(ap_t, 4),
                "templates_recall_at_p90": round(recall_t, 4),
                "expected_calibration_error": round(error, 5),
            },
        },
    }
    WEIGHTS.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(stored, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
