"""Which files a record may name: those under the input's folder and the listed roots, and nothing else."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materials.errors import Rejected
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.resolve import LocalFile, read_local, resolve

SECRET = b"what nobody may read"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "cat.jpg").write_bytes(b"meow")
    (folder / "sub" / "dog.jpg").write_bytes(b"woof")
    (tmp_path / "in-beside").mkdir()
    (tmp_path / "in-beside" / "secret").write_bytes(SECRET)
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "far.jpg").write_bytes(b"far")
    return folder


def read(uri: str, base: Path, *roots: Path, limits: MediaLimits | None = None) -> bytes:
    file = resolve(uri, base, MediaAccess(roots))
    assert isinstance(file, LocalFile)
    return read_local(file, uri, limits or MediaLimits())


def code(uri: str, base: Path, *roots: Path, limits: MediaLimits | None = None) -> str:
    with pytest.raises(Rejected) as caught:
        read(uri, base, *roots, limits=limits)
    assert str(base) not in caught.value.sentence.replace(uri, "")
    return caught.value.code


def test_paths_are_relative_to_the_input(base: Path) -> None:
    assert read("cat.jpg", base) == b"meow"
    assert read("./sub/../cat.jpg", base) == b"meow"
    assert read("sub/dog.jpg", base) == b"woof"


def test_absolute_paths_and_file_uris_under_the_input(base: Path) -> None:
    assert read(str(base / "cat.jpg"), base) == b"meow"
    for prefix in ("file:", "file://", "file://localhost", "FILE://"):
        assert read(prefix + str(base / "cat.jpg"), base) == b"meow"


def test_odd_names_are_only_names(base: Path) -> None:
    for name in ("a:b.jpg", "100%.jpg", "%2e%2e", "what?#.jpg", "猫.jpg", " ", "~", "C:"):
        (base / name).write_bytes(name.encode())
        assert read(name, base) == name.encode()
        assert read("file://" + quote(str(base / name)), base) == name.encode()


def test_listed_roots(base: Path, tmp_path: Path) -> None:
    far = str(tmp_path / "roots" / "far.jpg")
    assert code(far, base) == "outside_roots"
    assert read(far, base, tmp_path / "roots") == b"far"
    assert read("../roots/far.jpg", base, tmp_path / "roots") == b"far"


def test_links(base: Path, tmp_path: Path) -> None:
    (base / "inside").symlink_to(base / "cat.jpg")
    (base / "outside").symlink_to(tmp_path / "secret")
    (base / "folder").symlink_to(tmp_path)
    (base / "loop").symlink_to("loop")
    assert read("inside", base) == b"meow"
    assert code("outside", base) == "outside_roots"
    assert code("folder/secret", base) == "outside_roots"
    assert read("folder/in/cat.jpg", base) == b"meow"
    assert code("loop", base) == "missing_file"
    assert read("outside", base, tmp_path) == SECRET


def test_a_base_that_is_a_link(base: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(base)
    assert read("cat.jpg", tmp_path / "alias") == b"meow"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("", "missing_file"),
        ("nope.jpg", "missing_file"),
        ("cat.jpg/", "read"),
        ("cat.jpg/x", "missing_file"),
        ("x" * 5000, "missing_file"),
        (".", "outside_roots"),
        ("sub", "not_a_file"),
        ("../secret", "outside_roots"),
        ("../nothing-here", "outside_roots"),
        ("sub/../../secret", "outside_roots"),
        ("../in-beside/secret", "outside_roots"),
        ("/etc/passwd", "outside_roots"),
        ("///etc/passwd", "outside_roots"),
        ("/proc/self/environ", "outside_roots"),
        ("file:///etc/passwd", "outside_roots"),
        ("file:///etc/%70asswd", "outside_roots"),
        ("file:cat.jpg", "bad_path"),
        ("file:///a%2fb", "bad_path"),
        ("file:///a%00b", "bad_path"),
        ("file:///a?b", "bad_path"),
        ("file://elsewhere/etc/passwd", "host_not_allowed"),
        ("//elsewhere/share", "scheme_not_allowed"),
        ("cat.jpg\0", "bad_path"),
        ("\ud800.jpg", "bad_path"),
        ("s3://bucket/key", "scheme_not_allowed"),
        ("data:image/png;base64,AAAA", "scheme_not_allowed"),
        ("gopher://x/1", "scheme_not_allowed"),
        ("ftp://x/1", "scheme_not_allowed"),
    ],
)
def test_what_is_refused(uri: str, expected: str, base: Path) -> None:
    if expected == "read":  # realpath drops the slash; what is read is still the file inside
        assert read(uri, base) == b"meow"
    else:
        assert code(uri, base) == expected


def test_s3_names_the_remedy(base: Path) -> None:
    with pytest.raises(Rejected, match="presigned https"):
        resolve("s3://bucket/key", base, MediaAccess())


def test_no_fifo_socket_or_device(base: Path) -> None:
    os.mkfifo(base / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(base / "socket"))
        assert code("fifo", base) == "not_a_file"  # and does not wait for a writer
        assert code("socket", base) == "not_a_file"
    assert code("/dev/zero", base, Path("/dev")) == "not_a_file"


def test_sizes(base: Path) -> None:
    (base / "empty").touch()
    assert code("empty", base) == "empty_file"
    assert code("cat.jpg", base, limits=MediaLimits(max_bytes=3)) == "too_large"
    assert read("cat.jpg", base, limits=MediaLimits(max_bytes=4)) == b"meow"


def test_endless_files_are_cut_off(base: Path) -> None:
    # /proc files state no size; this one is larger than the limit when it is read
    assert code("/proc/self/smaps", base, Path("/proc"), limits=MediaLimits(max_bytes=100)) == "too_large"


def test_a_folder_that_becomes_a_link_after_resolution(base: Path, tmp_path: Path) -> None:
    file = resolve("sub/dog.jpg", base, MediaAccess())
    assert isinstance(file, LocalFile)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "dog.jpg").write_bytes(SECRET)
    (base / "sub").rename(base / "moved")
    (base / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Rejected) as caught:
        read_local(file, "sub/dog.jpg", MediaLimits())
    assert caught.value.code == "outside_roots"


pieces = st.sampled_from(
    [
        "..",
        ".",
        "",
        "sub",
        "out",
        "secret",
        "cat.jpg",
        "%2e%2e",
        "..%2f",
        "....",
        "\0",
        "file:",
        "~",
        "in-beside",
        "\\..",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.lists(pieces, max_size=7), st.sampled_from(["", "/", "file://", "file:///", "//"]))
def test_no_trick_reads_the_secret(base: Path, parts: list[str], prefix: str) -> None:
    out = base / "out"
    if not out.is_symlink():
        out.symlink_to(base.parent)
    for uri in (prefix + "/".join(parts), prefix + str(base) + "/" + "/".join(parts)):
        try:
            answer = read(uri, base)
        except Rejected as error:
            answer = error.reason.encode("utf-8", "surrogatepass")
        assert SECRET not in answer
