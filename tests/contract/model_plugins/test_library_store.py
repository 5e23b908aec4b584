"""What every store of a model library must do: a folder, and S3 over a real socket."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from materials.errors import SosieError, UsageError
from model_plugins.library.s3_store import INSTALL, S3Store
from model_plugins.library.store import FolderStore, NoSuchObject, ObjectStore, check_key, open_store


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A store that lives as long as this file's tests."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket there, which boto3 finds by its environment."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    bucket = f"models-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    client.close()
    return bucket


@pytest.fixture(params=["folder", "s3", "s3 without a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(tmp_path / "library")
    bucket = request.getfixturevalue("s3")
    return open_store(f"s3://{bucket}/team/library" if request.param == "s3" else f"s3://{bucket}")


def test_objects_come_back_as_they_went_in(store: ObjectStore) -> None:
    data = bytes(range(256)) * 1000
    assert store.put_if_absent("models/a/1/model.onnx", data)
    assert store.get("models/a/1/model.onnx") == data
    assert store.put_if_absent("empty", b"")
    assert store.get("empty") == b""


def test_a_key_is_written_once(store: ObjectStore) -> None:
    assert store.put_if_absent("cards/a", b"first")
    assert not store.put_if_absent("cards/a", b"second")
    assert store.get("cards/a") == b"first"


def test_of_many_writers_one_succeeds(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda i: store.put_if_absent("cards/race", b"%d" % i), range(16)))
    assert sum(wrote) == 1
    assert store.get("cards/race") == b"%d" % wrote.index(True)


def test_listing_is_by_folder_and_sorted(store: ObjectStore) -> None:
    for key in ("cards/b/1", "cards/a/2", "cards/a/10", "cards-of-others/x"):
        store.put_if_absent(key, b"x")
    assert store.list("cards") == ["cards/a/10", "cards/a/2", "cards/b/1"]
    assert store.list("cards/a") == ["cards/a/10", "cards/a/2"]
    assert store.list("") == ["cards-of-others/x", "cards/a/10", "cards/a/2", "cards/b/1"]
    assert store.list("nothing") == []


def test_absent_objects(store: ObjectStore) -> None:
    with pytest.raises(NoSuchObject, match="cards/a"):
        store.get("cards/a")
    store.delete("cards/a")
    store.put_if_absent("cards/a", b"1")
    store.delete("cards/a")
    assert store.list("") == []
    assert store.put_if_absent("cards/a", b"2")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../../b", "a/.", "a b", "a\\b", "ä", "a\0"])
def test_keys_cannot_leave_the_store(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        check_key(key)
    with pytest.raises(ValueError, match="not a key"):
        store.put_if_absent(key, b"")


def test_a_missing_bucket_is_named(s3: str) -> None:
    with pytest.raises(UsageError, match="no bucket other"):
        open_store("s3://other/x").list("")


def test_a_store_that_is_away_can_be_tried_again_and_no_secret_is_told(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(SosieError) as raised:
        open_store("s3://models/x").get("a")
    assert "cannot be reached" in str(raised.value)
    assert "a-secret-of-the-test" not in repr(raised.value) + str(raised.value)


def test_a_missing_extra_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UsageError) as raised:
        open_store("s3://models/x")
    assert raised.value.remedy == INSTALL == "pip install 'sosie[s3]'"


@pytest.mark.parametrize("location", ["s3://", "s3://key:secret@models/x", "s3://models/x?versionId=1"])
def test_credentials_do_not_belong_in_a_location(location: str) -> None:
    with pytest.raises(UsageError) as raised:
        S3Store(location)
    assert "secret" not in str(raised.value)


def test_other_schemes_are_refused() -> None:
    with pytest.raises(UsageError, match="ftp://"):
        open_store("ftp://x/y")


def test_a_write_that_was_cut_off_leaves_nothing_to_be_seen(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / ".incoming").mkdir()
    (tmp_path / ".incoming" / "half").write_bytes(b"hal")
    assert store.list("") == []
