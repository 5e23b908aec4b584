from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.text import normalise
from model_plugins.builtin.text_embedding import TextEmbedding
from model_plugins.features.ngrams import hashed_ngrams
from model_plugins.protocol import Plugin, TextMedia

GOLDEN = {82: -0.1755, 97: 0.1667, 216: -0.1667, 227: 0.1755, 282: 0.1755, 328: 0.1667, 384: -0.1667, 391: 0.1755}


def embed(text: str) -> np.ndarray | None:
    plugin = TextEmbedding()
    prepared = plugin.prepare(TextMedia(text=text))
    return None if prepared is None else plugin.interpret(prepared).array()


def test_it_is_a_plugin_without_a_model() -> None:
    plugin = TextEmbedding()
    assert isinstance(plugin, Plugin)
    assert (plugin.manifest.key, plugin.manifest.space, plugin.manifest.model) == ("text-embedding@1", True, None)


@pytest.mark.parametrize("example", TextEmbedding().examples(), ids=lambda example: example.title)
def test_examples(example) -> None:
    plugin = TextEmbedding()
    feature = plugin.interpret(plugin.prepare(example.media))
    assert (feature.schema, feature.dtype, feature.shape) == ("vector", "float32", (512,))


@given(st.text(max_size=300))
def test_a_unit_vector_or_nothing(text: str) -> None:
    vector = embed(text)
    if vector is None:
        assert len(normalise(text)) < 2
    else:
        assert vector.dtype == np.float32
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


@pytest.mark.parametrize("text", ["", "a", "😂😂", "@小明 http://t.cn/1", "！？"])
def test_nothing_to_embed(text: str) -> None:
    assert embed(text) is None


def test_a_gram_cannot_cancel_itself() -> None:
    # One gram, in four places, each with the same size.
    vector = embed("龘靐")
    assert vector is not None
    assert sorted(np.abs(vector[vector != 0]).tolist()) == pytest.approx([0.5] * 4)


def test_version_1_never_changes() -> None:
    vector = hashed_ngrams("sosie版本1")
    assert vector is not None
    largest = {int(i): round(float(vector[i]), 4) for i in np.flatnonzero(np.abs(vector) > 0.165)}
    assert largest == GOLDEN


def test_copies_are_near_and_others_far() -> None:
    one = embed("中国队在昨晚的决赛中以三比一战胜对手，时隔十年再次夺冠。")
    copy = embed("//@球迷:中國隊在昨晚的決賽中，以三比一戰勝對手！！时隔十年再次夺冠[泪] http://t.cn/A1")
    other = embed("请问这款手机的电池能用多久？续航怎么样，发热严重吗？")
    assert one is not None
    assert copy is not None
    assert other is not None
    assert float(one @ copy) > 0.95
    assert abs(float(one @ other)) < 0.2


def test_inner_products_estimate_the_exact_ones() -> None:
    # Hashing is unbiased: over many pairs of unrelated texts the cosines scatter around zero, with little spread.
    rng = np.random.default_rng(5)
    texts = ["".join(chr(c) for c in rng.integers(0x4E00, 0x9000, 60)) for _ in range(80)]
    vectors = np.stack([hashed_ngrams(text) for text in texts])
    cosines = (vectors @ vectors.T)[np.triu_indices(80, 1)]
    assert abs(float(cosines.mean())) < 0.01
    assert float(cosines.std()) < 0.06


def test_it_is_fast() -> None:
    text = "今天天气真好，一起去公园吧！" * 7
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(20):
            embed(text)
        best = min(best, (time.process_time() - began) / 20)
    assert best < 3e-3  # a loaded machine's bound; 0.1 ms is what to expect
