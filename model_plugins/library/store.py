"""Where a library's objects lie: a folder, or a bucket (`s3_store`). Objects are written once and never changed."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from pathlib import Path
from typing import Final, Protocol

from materials.errors import SosieError, UsageError

_KEY: Final = re.compile(r"[A-Za-z0-9._+-]{1,128}(/[A-Za-z0-9._+-]{1,128})*")
_INCOMING: Final = ".incoming"


class NoSuchObject(SosieError):
    """The store has nothing under this key."""


class ObjectStore(Protocol):
    """Keys are paths with `/`; `put_if_absent` is atomic, so that of two writers of one key exactly one succeeds."""

    @property
    def location(self) -> str:
        """For people: a folder, or `s3://bucket/prefix`. Never holds credentials."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a whole, durable object; False when the key was taken, and then nothing is changed."""
        ...

    def get(self, key: str) -> bytes:
        """The object.

        Raises:
            NoSuchObject: there is none.
        """
        ...

    def list(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix` (`""`: all), sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; harmless when there is none."""
        ...


def check_key(key: str) -> str:
    """The key, if it can be one in every store.

    Raises:
        ValueError: it cannot: it is empty, leaves the store, or has signs that a file system or URL would change.
    """
    if not _KEY.fullmatch(key) or any(part in (".", "..") for part in key.split("/")):
        raise ValueError(f"{key!r} is not a key of the library")
    return key


class FolderStore:
    """Objects as files below a folder, which several processes of one machine (or of a network share) may use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._folder)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Written aside, synced, then linked into place: a link fails where a rename would overwrite."""
        target = self._folder / check_key(key)
        aside = self._folder / _INCOMING / uuid.uuid4().hex
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, target)
            except FileExistsError:
                return False
            _sync_folders(target.parent, self._folder)
        except OSError as error:
            raise UsageError(
                f"the model library in {self._folder} cannot be written: {error.strerror}",
                "free or permit that folder, or set SOSIE_LIBRARY to another one",
            ) from error
        finally:
            aside.unlink(missing_ok=True)
        return True

    def get(self, key: str) -> bytes:
        """The file's bytes."""
        try:
            return (self._folder / check_key(key)).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NoSuchObject(f"the model library in {self._folder} has no {key}") from None

    def list(self, prefix: str) -> list[str]:
        """Files below a folder."""
        start = self._folder / check_key(prefix) if prefix else self._folder
        found = (path.relative_to(self._folder) for path in start.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if path.parts[0] != _INCOMING)

    def delete(self, key: str) -> None:
        """Remove the file, and the folders that this leaves empty."""
        path = self._folder / check_key(key)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: done
            for parent in path.relative_to(self._folder).parents[:-1]:
                (self._folder / parent).rmdir()


def _sync_folders(folder: Path, top: Path) -> None:
    """Make the entry itself durable, and those of folders that were made for it."""
    while True:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if folder in (top, folder.parent):
            return
        folder = folder.parent


def open_store(location: str | Path) -> ObjectStore:
    """A folder, or `s3://bucket/prefix`.

    Raises:
        UsageError: another scheme, or the extra `s3` is not installed.
    """
    text = str(location)
    if text.startswith("s3://"):
        from model_plugins.library.s3_store import S3Store

        return S3Store(text)
    if "://" in text:
        raise UsageError(f"a model library cannot lie at {text}", "set SOSIE_LIBRARY to a folder or s3://BUCKET/PREFIX")
    return FolderStore(Path(text).expanduser().absolute())
