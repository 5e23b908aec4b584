"""The fingerprint tells apart whatever differs, and is the same for ever."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.media.fingerprint import fingerprint

digests = st.lists(st.binary(min_size=32, max_size=32), max_size=3)


@given(st.text(), digests, st.text(), digests)
def test_only_equal_inputs_share_a_fingerprint(text: str, media: list[bytes], other: str, others: list[bytes]) -> None:
    assert (fingerprint(text, media) == fingerprint(other, others)) == ((text, media) == (other, others))


def test_a_digest_in_the_text_is_not_a_medium() -> None:
    digest = b"a" * 32
    assert fingerprint("a" * 32, []) != fingerprint("", [digest])


def test_the_encoding_does_not_change() -> None:
    assert fingerprint("猫", [hashlib.sha256(b"cat").digest()]).hex() == "351ffb4615b09be367cdf16b2777abc9"


def test_a_lone_surrogate_is_text() -> None:
    assert len(fingerprint("\ud800", [])) == 16


def test_a_short_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        fingerprint("", [b"short"])
