"""What a text is about: one linear model over hashed words (and sign pairs of Chinese), seven fields.

Hashing with signs as in Weinberger et al. 2009; multinomial logistic regression, weights in int8 (112 KB). Fitted by
`benchmarks/fit/text_topics.py`: what on, and how well it does, stands there.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from materials.text import normalise
from model_plugins.features.stop_words import STOP_WORDS

BUCKETS: Final = 16_384
FIELDS: Final = ("autos", "business", "entertainment", "health", "politics", "sports", "technology")
FEWEST: Final = 2
"""Known words or sign pairs, below which a text says too little."""
_LATIN: Final = re.compile(r"[a-z][a-z'’-]+")
_HAN: Final = re.compile(r"[\u4e00-\u9fff]+")
_LINK: Final = re.compile(r"https?://\S+|www\.\S+|@[\w-]{1,30}")


class Model(NamedTuple):
    """`weights`: float32 [BUCKETS, fields]; `bias`: float32 [fields]."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@cache
def fitted() -> Model:
    """The shipped weights."""
    path = files("model_plugins.features") / "data" / "topics.npz"
    with path.open("rb") as stream, np.load(stream) as data:
        return Model(data["weights"].astype(np.float32) * data["scale"], data["bias"].astype(np.float32))


def grams(text: str) -> list[str]:
    """Words of two letters and more, case-folded, without function words; and pairs of Chinese signs, simplified."""
    text = _LINK.sub(" ", unicodedata.normalize("NFKC", text)).casefold()
    words = [word for word in _LATIN.findall(text) if word not in STOP_WORDS]
    runs = _HAN.findall(normalise(text))
    pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
    return words + [pair for pair in pairs if pair not in STOP_WORDS]


def row(text: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """(distinct buckets, values): 1 + log of the count, signed by the hash, together of norm 1."""
    sums: dict[int, float] = {}
    for gram, count in Counter(grams(text)).items():
        code = zlib.crc32(gram.encode())
        sign = 1.0 if code >> 31 else -1.0
        sums[code % BUCKETS] = sums.get(code % BUCKETS, 0.0) + sign * (1 + np.log(count))
    buckets = np.array(sorted(sums), np.intp)
    values = np.array([sums[bucket] for bucket in buckets.tolist()], np.float32)
    return buckets, values / np.float32(np.linalg.norm(values) + 1e-9)


def probabilities(text: str, model: Model) -> NDArray[np.float64] | None:
    """By field, in the order of `FIELDS`; None for a text of fewer than `FEWEST` buckets."""
    buckets, values = row(text)
    if len(buckets) < FEWEST:
        return None
    logits = (values @ model.weights[buckets] + model.bias).astype(np.float64)
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())
