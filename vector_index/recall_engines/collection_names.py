"""Which collection of a recall engine is a space's, kept in a small file beside the index's log."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import msgspec

PREFIX = "sosie"


class _Names(msgspec.Struct):
    current: str = ""
    abandoned: list[str] = msgspec.field(default_factory=list)


class CollectionNames:
    """The names of one space, durable before they are used: a collection whose name is lost would never be dropped.

    Args:
        file: made when the first name is used.
        key: the space's feature key, e.g. `image-embedding@1`.

    Raises:
        ValueError: the file is damaged.
    """

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._stem = re.sub(r"\W", "_", f"{PREFIX}_{key}", flags=re.ASCII)
        try:
            self._names = msgspec.json.decode(file.read_bytes(), type=_Names)
        except FileNotFoundError:
            self._names = _Names()
        except msgspec.DecodeError as error:
            raise ValueError(f"{file} is damaged ({error}): delete it, and drop old collections by hand") from error

    @property
    def current(self) -> str:
        """The collection in use, "" before the first."""
        return self._names.current

    def new(self) -> str:
        """A name that was never used: letters, digits and underscores, random at the end."""
        return f"{self._stem}_{secrets.token_hex(6)}"

    def use(self, name: str) -> list[str]:
        """From now on this one.

        Returns:
            Names used before that can be dropped.
        """
        if name != self._names.current:
            earlier = {*self._names.abandoned, self._names.current} - {name, ""}
            self._names = _Names(name, sorted(earlier))
            self._write()
        return list(self._names.abandoned)

    def dropped(self, name: str) -> None:
        """Forget an abandoned name."""
        self._names = _Names(self._names.current, [other for other in self._names.abandoned if other != name])
        self._write()

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_name(self._file.name + ".tmp")
        with unfinished.open("wb") as file:
            file.write(msgspec.json.encode(self._names))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._file)
        descriptor = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
