"""The token file, and who is let in by it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from vector_index.channels import CA, CERT, KEY, Access, is_loopback
from vector_index.listening import TlsFiles
from vector_index.tokens import ENVIRONMENT, Gate, bearer, ensure_token_file, make_token, read_tokens


def test_made_once_and_kept(tmp_path: Path) -> None:
    file = ensure_token_file(tmp_path / "deep" / "token")
    before = read_tokens(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_tokens(ensure_token_file(file)) == before
    assert make_token() != make_token()


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = ensure_token_file(tmp_path / "token")
    secret = file.read_text().strip()
    file.chmod(0o640)
    with pytest.raises(UsageError) as caught:
        ensure_token_file(file)
    assert caught.value.remedy == f"chmod 600 {file}"
    assert secret not in str(caught.value)


@pytest.mark.parametrize("content", ["", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "sosie-index-short\n", "x" * 200])
def test_no_other_file_is_taken_for_one(tmp_path: Path, content: str) -> None:
    file = tmp_path / "id_rsa"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(UsageError, match="holds no token"):
        read_tokens(file)


def test_a_folder_or_a_missing_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_tokens(path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        ensure_token_file(tmp_path / "file" / "token")


def test_all_lines_are_valid_until_they_are_taken_out(tmp_path: Path) -> None:
    file = ensure_token_file(tmp_path / "token")
    (old,) = read_tokens(file)
    fresh = make_token()
    gate = Gate(file)
    file.write_text(f"# a remark\n{old}\n{fresh}\n")
    assert gate.admits(bearer(old))
    assert gate.admits(bearer(fresh))
    file.write_text(f"{fresh}\n")
    assert not gate.admits(bearer(old))
    assert gate.admits((("user-agent", "x"), ("authorization", f"bearer {fresh}")))
    file.unlink()
    assert not gate.admits(bearer(fresh))
    assert Gate(None).admits(())


@given(shown=st.text(max_size=80) | st.binary(max_size=80))
def test_nothing_else_opens_the_gate(tmp_path_factory: pytest.TempPathFactory, shown: str | bytes) -> None:
    gate = Gate(ensure_token_file(tmp_path_factory.getbasetemp() / "gate" / "token"))
    assert not gate.admits((("authorization", shown),))
    assert not gate.admits((("authorization", f"Bearer {shown!r}"),))


def test_access_is_read_from_the_environment() -> None:
    named = {ENVIRONMENT: "/t", CA: "/ca", CERT: "", KEY: "/k"}
    assert Access.of_environment(named) == Access(token_file=Path("/t"), ca=Path("/ca"), key=Path("/k"))
    assert Access.of_environment({}).credentials() is None
    for access in (Access(certificate=Path("/c")), Access(ca=Path("/ca"), key=Path("/k")), Access(ca=Path("/gone"))):
        with pytest.raises(UsageError):
            access.credentials()


def test_tls_files_are_checked(tmp_path: Path) -> None:
    assert TlsFiles().credentials() is None
    for files in (TlsFiles(certificate=tmp_path), TlsFiles(key=tmp_path), TlsFiles(client_ca=tmp_path)):
        with pytest.raises(UsageError, match="certificate and its key"):
            files.credentials()
    with pytest.raises(UsageError, match="cannot be read"):
        TlsFiles(tmp_path / "gone", tmp_path / "gone").credentials()


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("127.0.0.1:4711", True),
        ("localhost:1", True),
        ("[::1]:80", True),
        ("ipv4:127.0.0.1:4711", True),
        ("ipv6:%5B::1%5D:4711", True),
        ("unix:/tmp/x", True),
        ("ipv4:10.0.0.7:4711", False),
        ("index.example.org:7070", False),
        ("0.0.0.0:7070", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(peer: str, here: bool) -> None:
    assert is_loopback(peer) is here
