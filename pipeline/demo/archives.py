"""Read named members of a package archive into memory. Nothing is unpacked to disk and no code of it is run."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from materials.errors import SosieError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_MEMBER: Final = 16 << 20
MAX_UNPACKED: Final = 512 << 20


class ArchiveError(SosieError):
    """An archive that is damaged, lacks a member, or plays tricks."""


def read_members(
    archive: Path, names: Collection[str], *, max_member: int = MAX_MEMBER, max_unpacked: int = MAX_UNPACKED
) -> dict[str, bytes]:
    """Bytes by member name, from a wheel, a .zip or a .tar.gz.

    Args:
        names: members as the archive spells them; regular files only, links are refused.
        max_member: bytes that one member may have, unpacked.
        max_unpacked: bytes that may be unpacked in all; a .tar.gz is unpacked up to the last member wanted.

    Raises:
        ArchiveError: a name that leaves the archive, a member that is absent, twice there, encrypted, not a regular
            file or too large; an archive that is damaged or unpacks to too much.
    """
    for name in names:
        _check_name(archive, name)
    try:
        if zipfile.is_zipfile(archive):
            found = _from_zip(archive, set(names), max_member, max_unpacked)
        else:
            found = _from_tar(archive, set(names), max_member, max_unpacked)
    # zipfile raises NotImplementedError for a compression that it does not know: here a damaged header
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError) as error:
        raise ArchiveError(f"{archive.name} is damaged: {error}") from error
    missing = sorted(set(names) - found.keys())
    if missing:
        raise ArchiveError(f"{archive.name} has no member {missing[0]!r}")
    return found


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ArchiveError(f"{archive.name}: {name!r} is not a name inside an archive")


def _bounded(archive: Path, name: str, stream: IO[bytes], limit: int) -> bytes:
    """Read at most `limit` bytes, whatever size the header claims."""
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise ArchiveError(f"{archive.name}: {name!r} unpacks to more than {limit:,} bytes")
    return data


def _from_zip(archive: Path, names: set[str], max_member: int, max_unpacked: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = max_unpacked
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if info.filename not in names:
                continue
            unix_type = (info.external_attr >> 16) & 0o170000
            if info.filename in found:
                raise ArchiveError(f"{archive.name}: {info.filename!r} is there twice")
            if info.flag_bits & 0x1:
                raise ArchiveError(f"{archive.name}: {info.filename!r} is encrypted")
            if info.is_dir() or unix_type not in (0, 0o100000):
                raise ArchiveError(f"{archive.name}: {info.filename!r} is not a regular file")
            with opened.open(info) as stream:
                found[info.filename] = _bounded(archive, info.filename, stream, min(max_member, left))
            left -= len(found[info.filename])
    return found


def _from_tar(archive: Path, names: set[str], max_member: int, max_unpacked: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with (
        gzip.open(archive, "rb") as raw,
        io.BufferedReader(_Limited(raw, archive, max_unpacked)) as bounded,
        tarfile.open(fileobj=bounded, mode="r|") as tar,
    ):
        for member in tar:
            if member.name not in names:
                continue
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise ArchiveError(f"{archive.name}: {member.name!r} is not a regular file")
            if member.name in found:
                raise ArchiveError(f"{archive.name}: {member.name!r} is there twice")
            found[member.name] = _bounded(archive, member.name, stream, max_member)
            if len(found) == len(names):
                break
    return found


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than `limit` bytes: a gzip bomb ends here."""

    def __init__(self, inner: gzip.GzipFile, archive: Path, limit: int) -> None:
        self._inner, self._archive, self._left = inner, archive, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._inner.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"{self._archive.name} unpacks to more than the limit")
        view[: len(data)] = data
        return len(data)
