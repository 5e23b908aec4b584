"""Records, signatures and allow lists: what a worker accepts, and the reason when it does not."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from model_plugins.registry.allow import AllowFile, AllowList
from model_plugins.registry.entries import MAX_RECORD, PluginEntry, decode, signed_bytes
from model_plugins.registry.signing import SigningKey, parse_public, verifies

HASH = "ab" * 32
ENTRY = PluginEntry(
    name="letters", version=2, target="letters.plugin:Plugin", sha256=HASH, wheel="letters-1.0-py3-none-any.whl"
)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.load_or_create(tmp_path / "keys" / "plugins.key")[0]


def signed(entry: PluginEntry, key: SigningKey) -> PluginEntry:
    return msgspec.structs.replace(entry, signature=key.sign(entry.signed_bytes), key_id=key.key_id)


def test_canonical_bytes_are_these_for_ever() -> None:
    """Signatures of registered wheels rest on them."""
    assert signed_bytes("letters", 2, "letters:Plugin", "00ff") == (
        b"sosie plug-in 1\n7:letters,1:2,14:letters:Plugin,4:00ff,"
    )


fields = st.tuples(st.text(), st.integers(0, 10**6), st.text(), st.text())


@given(fields, fields)
def test_no_two_records_have_the_same_canonical_bytes(
    one: tuple[str, int, str, str], other: tuple[str, int, str, str]
) -> None:
    assert (signed_bytes(*one) == signed_bytes(*other)) == (one == other)


def test_a_record_is_read_as_it_was_written() -> None:
    assert decode(ENTRY.encode(), "letters") == ENTRY
    assert ENTRY.path == "/sosie/plugins/letters"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"not json", "cannot be read"),
        (b'{"name": "letters"}', "version"),
        (b" " * MAX_RECORD + ENTRY.encode(), "are allowed"),
        (msgspec.structs.replace(ENTRY, name="other").encode(), "lies under 'letters'"),
        (msgspec.structs.replace(ENTRY, name="../letters").encode(), "no name"),
        (msgspec.structs.replace(ENTRY, version=0).encode(), "no version"),
        (msgspec.structs.replace(ENTRY, target="os.system").encode(), "no target"),
        (msgspec.structs.replace(ENTRY, target="a:b; import os").encode(), "no target"),
        (msgspec.structs.replace(ENTRY, sha256="../../etc").encode(), "no sha256"),
        (msgspec.structs.replace(ENTRY, wheel="../x.whl").encode(), "no file name"),
    ],
)
def test_what_is_no_record_says_why(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        decode(data, "letters")


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "plugins.key"
    made, new = SigningKey.load_or_create(path)
    again, newer = SigningKey.load_or_create(path)
    assert (new, newer) == (True, False)
    assert made.public == again.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["plugins.key"]
    assert parse_public(made.public_text) == made.public
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        SigningKey.load_or_create(path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(UsageError, match="holds no PEM key") as caught:
        SigningKey.load_or_create(path)
    assert "the next registration makes one" in caught.value.remedy


def test_only_what_was_signed_verifies(key: SigningKey) -> None:
    signature = key.sign(b"message")
    assert verifies(key.public, signature, b"message")
    assert not verifies(key.public, signature, b"massage")
    assert not verifies(key.public, "not base64!", b"message")
    assert not verifies(key.public, "", b"message")
    assert not verifies(bytes(32), signature, b"message")


def test_a_key_on_the_list_answers_for_what_it_signed_and_nothing_else(key: SigningKey) -> None:
    allow = AllowList.parse(f"# keys\n\n  {key.public_text}   # the vision team\n")
    entry = signed(ENTRY, key)
    assert allow.refusal(entry) == ""
    assert allow.refusal(msgspec.structs.replace(entry, enabled=False, by="somebody", summary="!")) == ""
    for change in ({"name": "other"}, {"version": 3}, {"target": "os:system"}, {"sha256": "cd" * 32}):
        assert "its signature is not one of key" in allow.refusal(msgspec.structs.replace(entry, **change)), change
    assert "not signed" in allow.refusal(ENTRY)


def test_a_stranger_who_uses_a_listed_id_is_found_out(key: SigningKey, tmp_path: Path) -> None:
    stranger, _ = SigningKey.load_or_create(tmp_path / "stranger.key")
    allow = AllowList.parse(key.public_text)
    assert f"neither the key {stranger.key_id}" in allow.refusal(signed(ENTRY, stranger))
    forged = msgspec.structs.replace(signed(ENTRY, stranger), key_id=key.key_id)
    assert "its signature is not one of key" in allow.refusal(forged)


def test_a_hash_on_the_list_needs_no_signature() -> None:
    allow = AllowList.parse(f"sha256:{HASH}  # looked through on Monday")
    assert allow.refusal(ENTRY) == ""
    assert allow.refusal(msgspec.structs.replace(ENTRY, sha256="cd" * 32))


@pytest.mark.parametrize(
    "line", ["ed25519:short", "ed25519:" + "A" * 44 + "!", f"sha256:{HASH[:-1]}", HASH, "*", "allow all"]
)
def test_a_line_that_is_neither_key_nor_hash_allows_nothing_and_is_told(line: str, key: SigningKey) -> None:
    allow = AllowList.parse(f"{line}\n", "list")
    assert not allow.keys
    assert not allow.hashes
    assert allow.problems[0].startswith("list:1: ")
    assert "list:1: " in allow.refusal(signed(ENTRY, key))


def test_a_list_is_read_again_when_it_changes(tmp_path: Path, key: SigningKey) -> None:
    file = AllowFile.find(tmp_path, {})
    assert f"there is no {tmp_path / 'plugins.allow'}" in file.current().refusal(signed(ENTRY, key))
    file.add(key.public_text, "mine")
    file.add(key.public_text, "mine again")
    assert file.path.read_text() == f"{key.public_text}  # mine\n"
    assert file.current().refusal(signed(ENTRY, key)) == ""
    assert file.current() is file.current()
    file.path.chmod(0o666)
    assert "may be written by everyone" in file.current().refusal(signed(ENTRY, key))
    file.path.chmod(0o644)
    file.path.write_text("")
    assert file.current().refusal(signed(ENTRY, key))


def test_the_environment_names_another_list(tmp_path: Path) -> None:
    assert AllowFile.find(tmp_path, {"SOSIE_PLUGIN_ALLOW": "/etc/sosie/allow"}).path == Path("/etc/sosie/allow")
    assert AllowFile.find(tmp_path, os.environ | {"SOSIE_PLUGIN_ALLOW": ""}).path == tmp_path / "plugins.allow"
