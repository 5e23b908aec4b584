"""Archive members are read within bounds; tricks are refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.demo.archives import ArchiveError, read_members


def _zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


@pytest.mark.parametrize("make", [_zip, _tar])
def test_members_are_read(tmp_path: Path, make) -> None:
    archive = make(tmp_path / "a.bin", {"p/é.jpg": b"one", "p/b.txt": b"two", "p/c": b""})
    assert read_members(archive, ["p/é.jpg", "p/c"]) == {"p/é.jpg": b"one", "p/c": b""}


@pytest.mark.parametrize("make", [_zip, _tar])
def test_an_absent_member_is_named(tmp_path: Path, make) -> None:
    with pytest.raises(ArchiveError, match=r"no member 'x.jpg'"):
        read_members(make(tmp_path / "a.bin", {"y.jpg": b"1"}), ["x.jpg"])


@pytest.mark.parametrize("name", ["../up.jpg", "/etc/passwd", "a/../../b", "a\\b", "", "a\0b"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="not a name inside"):
        read_members(_zip(tmp_path / "a.zip", {"fine": b"1"}), [name])


@pytest.mark.parametrize("make", [_zip, _tar])
def test_a_member_above_the_limit_is_refused(tmp_path: Path, make) -> None:
    archive = make(tmp_path / "a.bin", {"big": bytes(4096), "small": b"1"})
    assert read_members(archive, ["big"], max_member=4096)["big"] == bytes(4096)
    with pytest.raises(ArchiveError, match="more than 4,095 bytes"):
        read_members(archive, ["big"], max_member=4095)
    assert read_members(archive, ["small"], max_member=10) == {"small": b"1"}


def test_a_tar_bomb_before_the_member_ends_at_the_limit(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "a.tar.gz", {"bomb": bytes(40 << 20), "wanted": b"1"})
    assert archive.stat().st_size < 100_000
    with pytest.raises(ArchiveError, match="more than the limit"):
        read_members(archive, ["wanted"], max_unpacked=1 << 20)


def test_a_zip_bomb_over_several_members_ends_at_the_limit(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {str(i): bytes(1 << 20) for i in range(4)})
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        read_members(archive, ["0", "1", "2", "3"], max_unpacked=3 << 20)


def test_links_are_refused(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "a.tar.gz", {"real": b"1"}, {"link": "/etc/passwd"})
    with pytest.raises(ArchiveError, match="not a regular file"):
        read_members(archive, ["link"])
    symlink = zipfile.ZipInfo("link")
    symlink.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as opened:
        opened.writestr(symlink, "/etc/passwd")
    with pytest.raises(ArchiveError, match="not a regular file"):
        read_members(tmp_path / "b.zip", ["link"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("x", b"one")
        opened.writestr("x", b"two")
    with pytest.raises(ArchiveError, match="twice"):
        read_members(tmp_path / "a.zip", ["x"])


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_cut_archive_is_damaged_not_half_read(tmp_path: Path, make, kept: float) -> None:
    import random

    archive = make(tmp_path / "a.bin", {"first": random.Random(1).randbytes(50_000), "last": b"2" * 500})
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ArchiveError):
        read_members(archive, ["first", "last"])


def test_flipped_bytes_are_seen_by_the_checksum(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"x": b"A" * 1000}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[200] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged"):
        read_members(archive, ["x"])
