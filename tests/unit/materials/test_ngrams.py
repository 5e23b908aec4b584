from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.ngrams import grams, mix, rarity


def spelled(key: int) -> str:
    first, second, third = key & 0x1FFFFF, (key >> 21) & 0x1FFFFF, key >> 42
    return chr(first) + chr(second) + (chr(third - 1) if third else "")


@given(st.text(alphabet="ab中国\U0001f525\U0010ffff\x00", max_size=30))
def test_grams_are_the_2_and_3_grams(text: str) -> None:
    found = grams(text)
    pieces = [text[i : i + n] for n in (2, 3) for i in range(len(text) - n + 1)]
    got = {spelled(key): count for key, count in zip(found.keys.tolist(), found.counts.tolist(), strict=True)}
    assert got == {piece: pieces.count(piece) for piece in pieces}
    assert (np.diff(found.keys.astype(object)) > 0).all()


@pytest.mark.parametrize("text", ["", "a"])
def test_no_grams_without_two_characters(text: str) -> None:
    assert grams(text).keys.size == 0


def test_the_hash_is_splitmix64() -> None:
    # The reference implementation's first outputs for seed 0 are the hashes of 0 and of its increment.
    got = mix(np.array([0, 0x9E3779B97F4A7C15], dtype=np.uint64))
    assert [hex(value) for value in got.tolist()] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]


def test_common_grams_are_less_rare() -> None:
    idf = {text: float(rarity(mix(grams(text).keys))[0]) for text in ("中国", "我们", "th", "饕餮", "qx", "龘靐")}
    assert max(idf["中国"], idf["我们"], idf["th"]) < 5 < min(idf["饕餮"], idf["qx"], idf["龘靐"])
