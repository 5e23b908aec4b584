"""The library's records: the card of a version, what its verification found, and each move of an alias.

All of them are written once. A card names its files by hash, so that a version means the same bytes for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from model_plugins.library.signature import Signature

PRODUCTION = "production"
Action = Literal["promote", "rollback"]


class Artefact(msgspec.Struct, frozen=True):
    """One file of a version. `path` below the version's folder, `sha256` in hex, `size` in bytes."""

    path: str
    sha256: str
    size: int

    @classmethod
    def of(cls, path: str, data: bytes) -> Artefact:
        """Hash a file."""
        return cls(path, hashlib.sha256(data).hexdigest(), len(data))


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is.

    `digest`: sha256 over its files. `backend`: Triton's name of what runs it; `runtime`: what the server's environment
    must have. `training`: where the weights come from; `created`: RFC 3339.
    """

    name: str
    version: int
    digest: str
    files: tuple[Artefact, ...]
    signature: Signature
    backend: str
    runtime: str
    training: str
    licence: str
    created: str
    added_by: str = ""

    @property
    def key(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of a verification.

    `baseline`: of the version in production, None where there is none. `limit`: what the candidate must reach (or stay
    below, where `lower_is_better`), None where the figure is only shown.
    """

    name: str
    candidate: float
    baseline: float | None = None
    limit: float | None = None
    lower_is_better: bool = False

    @property
    def passed(self) -> bool:
        """Whether the candidate is good enough; NaN never is."""
        if self.limit is None:
            return True
        return self.candidate <= self.limit if self.lower_is_better else self.candidate >= self.limit


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate against the version in production, on one golden set.

    `baseline`: version, 0 for none. `agreement`: mean cosine between the two versions' vectors of the same medium;
    None where there is no baseline, or its vectors have another width. `server`: where both ran.
    """

    name: str
    version: int
    digest: str
    baseline: int
    golden: str
    references: int
    queries: int
    figures: tuple[Figure, ...]
    agreement: float | None
    server: str
    created: str

    @property
    def passed(self) -> bool:
        """Whether no figure is worse than allowed."""
        return all(figure.passed for figure in self.figures)


class AliasChange(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias. `previous`: version, 0 for none; `forced`: against or without a verification."""

    name: str
    alias: str
    version: int
    previous: int
    action: Action
    at: str
    by: str = ""
    forced: bool = False
    reason: str = ""


def digest_of(files: Iterable[Artefact]) -> str:
    """sha256 in hex over the sorted lines `sha256  path`."""
    lines = sorted(f"{each.sha256}  {each.path}\n" for each in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
