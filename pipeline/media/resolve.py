"""From the URI in a record to a file that may be read, or a URL that may be fetched.

A path is relative to the folder of the input file. Whatever it says, the file that it leads to must lie, after all
links are followed, under that folder or under a root that the job's spec lists; that is asked *before* whether the
file exists, so that a record cannot be used to find out what else lies on the machine.
"""

from __future__ import annotations

import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote_to_bytes

import msgspec

from materials.errors import Rejected
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.shown import shown
from pipeline.media.urls import RemoteFile, parse_url

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# schemes that are refused even without `//`; any other word and colon may be the start of a file's name
_BARE_SCHEMES = frozenset({"file", "http", "https", "s3", "data", "ftp", "gs", "javascript", "blob"})
_ENCODED_SEPARATOR = re.compile(r"%(2f|5c|00)", re.IGNORECASE)


class LocalFile(msgspec.Struct, frozen=True):
    """A file that may be read. `path`: absolute, free of links. `roots`: the real folders that it may lie under."""

    path: str
    roots: tuple[str, ...]


def resolve(uri: str, base: Path, access: MediaAccess) -> LocalFile | RemoteFile:
    """Where a medium lies, if it may be used.

    Args:
        uri: as it stands in the record: a path, `file:`, `http:` or `https:`.
        base: folder of the input file.
        access: roots and hosts that the spec lists.

    Raises:
        Rejected: `missing_file` (empty name), `bad_path`, `outside_roots`, `scheme_not_allowed`, `host_not_allowed`,
            `private_address`, `bad_url`.
    """
    if not uri:
        raise Rejected("missing_file", "the medium's name is empty; give a path, or an http or https URL")
    scheme = _scheme(uri)
    if scheme in ("http", "https"):
        return parse_url(uri, access.hosts)
    if scheme == "file":
        return _resolve_path(_path_of_file_uri(uri), uri, base, access)
    if scheme == "s3":
        raise Rejected(
            "scheme_not_allowed", f"{shown(uri)} is an s3 address; give a presigned https URL of the object instead"
        )
    if scheme:
        raise Rejected(
            "scheme_not_allowed", f"{shown(uri)} has the scheme '{scheme[:20]}'; give a path, or an http or https URL"
        )
    return _resolve_path(uri, uri, base, access)


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    if match is None:
        return "network" if uri.startswith("//") and not uri.startswith("///") else ""
    scheme = match[1].lower()
    return scheme if scheme in _BARE_SCHEMES or uri.startswith("//", match.end()) else ""


def _path_of_file_uri(uri: str) -> str:
    """The path of a `file:` URI (RFC 8089); it names this machine or none."""
    rest = uri[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise Rejected("host_not_allowed", f"{shown(uri)} names a host; a file URI begins with 'file:///'")
        rest = slash + path
    if not rest.startswith("/"):
        raise Rejected("bad_path", f"{shown(uri)} is not absolute; write 'file:///…', or the path without 'file:'")
    if "?" in rest or "#" in rest:
        raise Rejected("bad_path", f"{shown(uri)} has a query or fragment; write '?' as %3F and '#' as %23")
    if _ENCODED_SEPARATOR.search(rest):
        raise Rejected("bad_path", f"{shown(uri)} hides a separator in percent-encoding; write it plainly")
    return os.fsdecode(unquote_to_bytes(rest))


def _resolve_path(path: str, uri: str, base: Path, access: MediaAccess) -> LocalFile:
    try:
        if b"\0" in os.fsencode(path):
            raise Rejected("bad_path", f"{shown(uri)} contains a NUL character; remove it")
        roots = _real_folders(str(base), access.roots)
        real = os.path.realpath(os.path.join(roots[0], path))
    except UnicodeEncodeError as error:
        raise Rejected("bad_path", f"{shown(uri)} is not valid Unicode; write the name in UTF-8") from error
    except OSError as error:
        raise Rejected("missing_file", f"{shown(uri)} cannot be followed; check the path") from error
    if not is_under(real, roots):
        raise Rejected(
            "outside_roots",
            f"{shown(uri)} leads out of the input file's folder and of the job's media roots; "
            "move the file, or list its folder under media.roots",
        )
    return LocalFile(real, roots)


@lru_cache(maxsize=256)
def _real_folders(base: str, roots: tuple[Path, ...]) -> tuple[str, ...]:
    return (os.path.realpath(base), *(os.path.realpath(root) for root in roots))


def is_under(real: str, roots: tuple[str, ...]) -> bool:
    """Whether a real path lies below one of the real folders."""
    return any(real.startswith(root if root.endswith("/") else root + "/") for root in roots)


def read_local(file: LocalFile, uri: str, limits: MediaLimits) -> bytes:
    """The content of a resolved file.

    Raises:
        Rejected: `missing_file`, `unreadable_file`, `not_a_file`, `empty_file`, `too_large`, or `outside_roots` when
            the path was exchanged since it was resolved.
    """
    try:
        # NONBLOCK: opening a FIFO without a writer would wait for ever
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except PermissionError as error:
        raise Rejected("unreadable_file", f"{shown(uri)} may not be read by this process; grant it access") from error
    except OSError as error:
        if os.path.exists(file.path) and not os.path.isfile(file.path):  # a socket cannot even be opened
            raise _not_a_file(uri) from error
        raise Rejected(
            "missing_file",
            f"{shown(uri)} does not exist; check the path: it is relative to the input file, or to the source's `base`",
        ) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(uri)
        # what was opened, not what was asked for: a folder on the way may have become a link in between
        if not is_under(os.readlink(f"/proc/self/fd/{fd}"), file.roots):
            raise Rejected("outside_roots", f"{shown(uri)} changed into a link out of the allowed folders")
        return _read_all(fd, status.st_size, uri, limits)
    finally:
        os.close(fd)


def _not_a_file(uri: str) -> Rejected:
    return Rejected("not_a_file", f"{shown(uri)} is a folder or a device; name a regular file")


def _read_all(fd: int, size: int, uri: str, limits: MediaLimits) -> bytes:
    too_large = (
        f"{shown(uri)} is larger than the limit of {limits.max_bytes} bytes; shrink it, or raise limits.max_bytes"
    )
    if size > limits.max_bytes:
        raise Rejected("too_large", too_large)
    chunks = []
    total = 0
    while chunk := os.read(fd, max(size - total, 0) + 1):  # one more byte than stated: a file may grow meanwhile
        chunks.append(chunk)
        total += len(chunk)
        if total > limits.max_bytes:
            raise Rejected("too_large", too_large)
    if total == 0:
        raise Rejected("empty_file", f"{shown(uri)} has no content (0 bytes); upload it again")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
