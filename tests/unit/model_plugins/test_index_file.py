"""A pinned file is fetched once, checked, and never half there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from materials.errors import Retryable, SosieError
from model_plugins.recipes.index_file import IndexFile, fetch, file_url, https_get

BODY = b"weights"
WANTED = IndexFile(
    project="demo-model", filename="demo_model-1.0-py3-none-any.whl", sha256=hashlib.sha256(BODY).hexdigest()
)
INDEX = "https://index.test/simple"
PAGE = (
    b'<html><body><a href="demo_model-0.9-py3-none-any.whl#sha256=00">old</a>'
    b'<a data-x="1" href="../../files/a&amp;b/demo_model-1.0-py3-none-any.whl#sha256=1">new</a></body></html>'
)
FILE_URL = "https://index.test/files/a&b/demo_model-1.0-py3-none-any.whl"


class Index:
    """Answers from a dict; the first `down` calls find nobody."""

    def __init__(self, answers: dict[str, bytes], down: int = 0) -> None:
        self.answers, self.down, self.calls = answers, down, 0

    def __call__(self, url: str) -> bytes:
        self.calls += 1
        if self.calls <= self.down:
            raise ConnectionRefusedError(111, "refused")
        return self.answers[url]


def test_the_url_is_resolved_against_the_page() -> None:
    assert file_url(PAGE.decode(), f"{INDEX}/demo-model/", WANTED.filename) == FILE_URL
    assert file_url(PAGE.decode(), f"{INDEX}/demo-model/", "other.whl") is None


def test_fetched_once(tmp_path: Path) -> None:
    index = Index({f"{INDEX}/demo-model/": PAGE, FILE_URL: BODY})
    path = fetch(WANTED, tmp_path, index=INDEX, get=index)
    assert path.read_bytes() == BODY
    assert fetch(WANTED, tmp_path, index=INDEX, get=index) == path
    assert index.calls == 2
    assert [file.name for file in tmp_path.iterdir()] == [WANTED.filename]


def test_a_damaged_copy_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / WANTED.filename).write_bytes(b"half")
    index = Index({f"{INDEX}/demo-model/": PAGE, FILE_URL: BODY})
    assert fetch(WANTED, tmp_path, index=INDEX, get=index).read_bytes() == BODY


def test_an_outage_is_waited_out_with_growing_pauses(tmp_path: Path) -> None:
    index, waits = Index({f"{INDEX}/demo-model/": PAGE, FILE_URL: BODY}, down=2), list[float]()
    fetch(WANTED, tmp_path, index=INDEX, get=index, wait=waits.append)
    assert waits == [1.0, 2.0]


def test_a_lasting_outage_is_retryable(tmp_path: Path) -> None:
    index, waits = Index({}, down=99), list[float]()
    with pytest.raises(Retryable, match="refused"):
        fetch(WANTED, tmp_path, index=INDEX, get=index, wait=waits.append)
    assert index.calls == 4


def test_other_bytes_are_refused_and_not_kept(tmp_path: Path) -> None:
    index = Index({f"{INDEX}/demo-model/": PAGE, FILE_URL: BODY + b"!"})
    with pytest.raises(SosieError, match="pinned"):
        fetch(WANTED, tmp_path, index=INDEX, get=index)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_listed_says_so(tmp_path: Path) -> None:
    with pytest.raises(SosieError, match="does not list"):
        fetch(WANTED, tmp_path, index=INDEX, get=Index({f"{INDEX}/demo-model/": b"<html></html>"}))


@pytest.mark.parametrize("url", ["http://index.test/x", "file:///etc/passwd"])
def test_only_https(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        https_get(url)
