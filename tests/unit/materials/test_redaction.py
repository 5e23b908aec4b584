from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.redaction import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
        ("rediss://me:p@ss,w:rd@cache:6379/0 -> /var/sosie", "rediss://***@cache:6379/0 -> /var/sosie"),
        ("'redis://me:hunter2@host:port' is none", "'redis://***@host:port' is none"),
        ("redis://cache/0?password=hunter2&db=1", "redis://cache/0?password=***&db=1"),
        ("redis://a:x@one/0 and http://b:y@two/", "redis://***@one/0 and http://***@two/"),
    ],
)
def test_secrets_of_addresses_are_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text", ["redis://127.0.0.1:6379/0", "http://host/a@b?q=x@y", "image-embedding@2 at 127.0.0.1:1", "no address"]
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


@given(st.from_regex(r"[A-Za-z0-9@:,.!*-]{1,30}", fullmatch=True))
def test_no_password_comes_through(password: str) -> None:
    assert without_secrets(f"at redis://user:{password}@cache:6379/0, gone") == "at redis://***@cache:6379/0, gone"
