"""Where registered wheels lie: `wheels/<sha256>/<file>.whl` in the model library's store, a folder or a bucket."""

from __future__ import annotations

from typing import Protocol

from materials.errors import UsageError
from model_plugins.registry.wheels import sha256_of

_FOLDER = "wheels"


class Objects(Protocol):
    """What is needed of an object store (`model_plugins.library.store.ObjectStore` is one)."""

    @property
    def location(self) -> str:
        """For people."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a whole, durable object, unless there is one."""
        ...

    def get(self, key: str) -> bytes:
        """The object."""
        ...

    def list(self, prefix: str) -> list[str]:
        """All keys below a folder."""
        ...


class WheelStore(Protocol):
    """Wheels by the hash of their content."""

    @property
    def location(self) -> str:
        """For people."""
        ...

    def put(self, data: bytes, name: str) -> str:
        """Store a wheel durably; returns its sha256. Harmless when it is there.

        Raises:
            UsageError: something else is there in its place.
        """
        ...

    def get(self, sha256: str) -> bytes:
        """The bytes that have this hash.

        Raises:
            WheelMissing: the store has none.
        """
        ...


class WheelMissing(Exception):
    """The store has no wheel of this hash, or has other bytes in its place."""


class LibraryWheels:
    """Wheels in an object store.

    Args:
        objects: the model library's store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    @property
    def location(self) -> str:
        """For people."""
        return f"{self._objects.location}/{_FOLDER}"

    def put(self, data: bytes, name: str) -> str:
        """See `WheelStore`."""
        sha256 = sha256_of(data)
        key = f"{_FOLDER}/{sha256}/{name}"
        if not self._objects.put_if_absent(key, data) and sha256_of(self._objects.get(key)) != sha256:
            raise UsageError(f"{self._objects.location}/{key} was damaged or changed", "delete it, and register again")
        return sha256

    def get(self, sha256: str) -> bytes:
        """See `WheelStore`; what is stored under a hash that it does not have is never returned."""
        keys = self._objects.list(f"{_FOLDER}/{sha256}")
        for key in keys:
            data = self._objects.get(key)
            if sha256_of(data) == sha256:
                return data
        if keys:
            raise WheelMissing(f"{self.location} has other bytes in the place of {sha256[:12]}…")
        raise WheelMissing(f"{self.location} has no wheel {sha256[:12]}…")
