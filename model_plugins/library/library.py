"""Versions of models in an object store.

models/<name>/config.pbtxt                  written with the first version; Triton's own repository layout
models/<name>/<version>/model.onnx …        a tritonserver may be pointed at `models/`
cards/<name>/<version>/begun.json           claims the number; one that was never finished is not used again
cards/<name>/<version>/card.json            the commit point: a version exists when its card does
cards/<name>/<version>/verified-0001.json   one for each verification
aliases/<name>/<alias>/000001.json          one for each move
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
import structlog

from materials.errors import Permanent, Retryable, SosieError, UsageError
from model_plugins.library.records import PRODUCTION, Action, AliasChange, Artefact, Card, Verification, digest_of
from model_plugins.library.signature import Signature, config_of, signature_of_config
from model_plugins.library.store import NoSuchObject, ObjectStore

log = structlog.get_logger(__name__)

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
R = TypeVar("R", bound=msgspec.Struct)


class Conflict(SosieError):
    """Somebody else did the same at the same time."""


def rfc3339_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Library:
    """All that is known of models and their versions. Holds no state of its own: the store is read at each call.

    Args:
        now: the time as RFC 3339.
    """

    def __init__(self, store: ObjectStore, now: Callable[[], str] = rfc3339_now) -> None:
        self._store = store
        self._now = now

    @property
    def location(self) -> str:
        """Where it lies, for people."""
        return self._store.location

    def now(self) -> str:
        """The time, as records carry it."""
        return self._now()

    # -- versions

    def names(self) -> list[str]:
        """Models with at least one version."""
        return sorted({key.split("/")[1] for key in self._store.list("cards") if key.endswith("/card.json")})

    def versions(self, name: str) -> list[int]:
        """Finished versions, oldest number first."""
        keys = self._store.list(f"cards/{checked_name(name)}")
        return sorted(int(key.split("/")[2]) for key in keys if key.endswith("/card.json"))

    def card(self, name: str, version: int) -> Card:
        """What a version is.

        Raises:
            UsageError: there is no such version; says which there are.
        """
        try:
            return self._read(f"cards/{checked_name(name)}/{version}/card.json", Card)
        except NoSuchObject:
            known = ", ".join(f"{name}@{each}" for each in self.versions(name))
            raise UsageError(
                f"the model library has no {name}@{version}",
                f"it has {known}" if known else f"sosie model add {name} MODEL.onnx",
            ) from None

    def add(
        self,
        name: str,
        files: Mapping[str, bytes],
        signature: Signature,
        *,
        backend: str,
        runtime: str,
        training: str,
        licence: str,
        version: int | None = None,
        added_by: str = "",
    ) -> Card:
        """Store a new version, for ever.

        Args:
            files: path below the version's folder -> content.
            version: default: the next number that nobody has claimed.

        Raises:
            UsageError: the number is taken, or the model takes or gives other tensors than its versions before.
        """
        if not files or (version is not None and version < 1):
            raise UsageError("a version has at least one file, and its number is 1 or more", "leave --version away")
        self._require_same_tensors(name, signature)
        claimed = self._claim(name, version, added_by)
        self._store.put_if_absent(f"models/{name}/config.pbtxt", config_of(name, signature, backend).encode())
        for path, data in sorted(files.items()):
            if not self._store.put_if_absent(f"models/{name}/{claimed}/{path}", data):
                raise Permanent(f"{self.location} has files of {name}@{claimed} already, and no card of it")
        artefacts = tuple(Artefact.of(path, data) for path, data in sorted(files.items()))
        card = Card(
            name=name,
            version=claimed,
            digest=digest_of(artefacts),
            files=artefacts,
            signature=signature,
            backend=backend,
            runtime=runtime,
            training=training,
            licence=licence,
            created=self._now(),
            added_by=added_by,
        )
        self._write(f"cards/{name}/{claimed}/card.json", card)
        log.info("model_added", model=card.key, digest=card.digest)
        return card

    def files(self, card: Card) -> dict[str, bytes]:
        """Path -> content of a version's files.

        Raises:
            Permanent: a file is missing, or is not the one that was added.
        """
        found = {}
        for artefact in card.files:
            try:
                data = self._store.get(f"models/{card.name}/{card.version}/{artefact.path}")
            except NoSuchObject as error:
                raise Permanent(f"{card.key} is damaged: {error}") from None
            if hashlib.sha256(data).hexdigest() != artefact.sha256:
                raise Permanent(f"{card.key} is damaged: {artefact.path} in {self.location} has another hash")
            found[artefact.path] = data
        return found

    def config(self, name: str) -> str:
        """`config.pbtxt` of a model."""
        return self._store.get(f"models/{checked_name(name)}/config.pbtxt").decode()

    def _require_same_tensors(self, name: str, signature: Signature) -> None:
        try:
            known = signature_of_config(self.config(name))
        except NoSuchObject:
            return
        if not known.same_tensors(signature) or known.max_batch > signature.max_batch:
            raise UsageError(
                f"{name} takes and gives {known} with {known.max_batch} rows a call, and this model {signature} with "
                f"{signature.max_batch}: its callers could not call it",
                "give it another name",
            )

    def _claim(self, name: str, version: int | None, by: str) -> int:
        claimed = {int(key.split("/")[2]) for key in self._store.list(f"cards/{checked_name(name)}")}
        number = version or max(claimed, default=0) + 1
        claim = msgspec.json.encode({"at": self._now(), "by": by})
        while not self._store.put_if_absent(f"cards/{name}/{number}/begun.json", claim):
            if version is not None:
                state = "is in the library" if number in self.versions(name) else "was begun once and never finished"
                raise UsageError(
                    f"{name}@{number} {state}; a version is never overwritten", "leave --version away for the next one"
                )
            number += 1
        return number

    # -- verifications

    def verifications(self, name: str, version: int) -> list[Verification]:
        """All of a version, oldest first."""
        keys = self._store.list(f"cards/{checked_name(name)}/{version}")
        return [self._read(key, Verification) for key in keys if "/verified-" in key]

    def record(self, verification: Verification) -> None:
        """Keep a verification beside the card."""
        folder = f"cards/{verification.name}/{verification.version}"
        number = len(self.verifications(verification.name, verification.version)) + 1
        while not self._store.put_if_absent(f"{folder}/verified-{number:04d}.json", _encoded(verification)):
            number += 1

    # -- aliases

    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasChange]:
        """All moves of an alias, oldest first."""
        keys = self._store.list(f"aliases/{checked_name(name)}/{_alias(alias)}")
        return [self._read(key, AliasChange) for key in keys]

    def target(self, name: str, alias: str = PRODUCTION) -> int:
        """The version that an alias names, 0 for none."""
        moves = self.history(name, alias)
        return moves[-1].version if moves else 0

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version."""
        names = {key.split("/")[2] for key in self._store.list(f"aliases/{checked_name(name)}")}
        return {alias: self.target(name, alias) for alias in sorted(names)}

    def move(
        self,
        name: str,
        version: int,
        action: Action,
        *,
        alias: str = PRODUCTION,
        expected: int,
        by: str = "",
        forced: bool = False,
        reason: str = "",
    ) -> AliasChange:
        """Let an alias name another version, if it still names `expected`.

        Raises:
            UsageError: there is no such version.
            Conflict: the alias was moved meanwhile.
        """
        self.card(name, version)
        moves = self.history(name, alias)
        change = AliasChange(
            name=name,
            alias=_alias(alias),
            version=version,
            previous=moves[-1].version if moves else 0,
            action=action,
            at=self._now(),
            by=by,
            forced=forced,
            reason=reason,
        )
        moved = change.previous != expected
        if moved or not self._store.put_if_absent(
            f"aliases/{name}/{alias}/{len(moves) + 1:06d}.json", _encoded(change)
        ):
            raise Conflict(f"{name}@{alias} was moved by somebody else just now; look at `sosie model list` and repeat")
        log.info("alias_moved", model=name, alias=alias, version=version, previous=change.previous, action=action)
        return change

    def _read(self, key: str, kind: type[R]) -> R:
        try:
            return msgspec.json.decode(self._store.get(key), type=kind)
        except msgspec.MsgspecError as error:
            raise Permanent(f"{key} in the model library at {self.location} cannot be read: {error}") from None

    def _write(self, key: str, record: msgspec.Struct) -> None:
        if not self._store.put_if_absent(key, _encoded(record)):
            raise Retryable(f"{key} was written by somebody else just now")


def before(moves: list[AliasChange]) -> int:
    """The version that a rollback goes back to, 0 for none: a promotion is undone by one rollback, the one before it by
    the next."""
    stack: list[int] = []
    for move in moves:
        if move.action == "rollback":
            del stack[-1:]
        elif not stack or stack[-1] != move.version:
            stack.append(move.version)
    return stack[-2] if len(stack) > 1 else 0


def checked_name(name: str) -> str:
    """A model's name, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a model's name", "lower-case letters, digits, dots and dashes")
    return name


def _alias(alias: str) -> str:
    if not _NAME.fullmatch(alias) or alias.isdecimal():
        raise UsageError(f"{alias!r} is not an alias", "a word such as production or canary")
    return alias


def _encoded(record: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
