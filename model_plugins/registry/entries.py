"""What the registry says of one plug-in: a JSON record at `/sosie/plugins/<name>` in ZooKeeper.

The record is small and public. It holds no code: it names a wheel by its hash, and carries a signature of those who
answer for that wheel. `enabled`, `media`, `summary`, `by` and `registered_at` are not signed: whoever may write the
registry may switch a plug-in off, or put an older signed record back, but cannot bring in code of his own.
"""

from __future__ import annotations

import re

import msgspec

from model_plugins.protocol import MediaKind

BASE_PATH = "/sosie/plugins"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_WHEEL = re.compile(r"[A-Za-z0-9._+-]{1,200}\.whl")
_DOMAIN = b"sosie plug-in 1\n"
MAX_RECORD = 16 * 1024
"""Bytes of an encoded record."""


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: of the manifest. `target`: `package.module:Class`. `sha256` and `wheel`: hash and name of its file.

    `signature`: base64 of ed25519 over `signed_bytes`, by the key that `key_id` names. `registered_at`: epoch seconds;
    `by`: who did it, as his machine knows him.
    """

    name: str
    version: int
    target: str
    sha256: str
    wheel: str
    signature: str = ""
    key_id: str = ""
    enabled: bool = True
    registered_at: float = 0.0
    by: str = ""
    media: MediaKind = "image"
    summary: str = ""

    @property
    def key(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> str:
        """Its node."""
        return f"{BASE_PATH}/{self.name}"

    @property
    def signed_bytes(self) -> bytes:
        """What is signed; see `signed_bytes`."""
        return signed_bytes(self.name, self.version, self.target, self.sha256)

    def encode(self) -> bytes:
        """JSON."""
        return msgspec.json.encode(self)


def signed_bytes(name: str, version: int, target: str, sha256: str) -> bytes:
    """The canonical bytes of a record: a line that says what they are, then each field as a netstring (D. J. Bernstein,
    1997: `<length>:<bytes>,`), so that no two records have the same bytes."""
    fields = (name, str(version), target, sha256)
    return _DOMAIN + b"".join(b"%d:%b," % (len(data), data) for data in (field.encode() for field in fields))


def decode(data: bytes, node: str) -> PluginEntry:
    """A record as it was found under the name `node`.

    Raises:
        ValueError: it is not one, with the reason.
    """
    if len(data) > MAX_RECORD:
        raise ValueError(f"the record has {len(data)} bytes; {MAX_RECORD} are allowed")
    try:
        entry = msgspec.json.decode(data, type=PluginEntry)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the record cannot be read: {error}") from error
    check(entry)
    if entry.name != node:
        raise ValueError(f"the record is of {entry.name!r}, and lies under {node!r}")
    return entry


def check(entry: PluginEntry) -> None:
    """Every field is well formed.

    Raises:
        ValueError: which is not.
    """
    if not NAME.fullmatch(entry.name) or len(entry.name) > 64:
        raise ValueError(f"{entry.name[:80]!r} is no name: up to 64 small letters, digits and hyphens")
    if not 1 <= entry.version < 2**31:
        raise ValueError(f"{entry.version} is no version: they start at 1")
    if not _TARGET.fullmatch(entry.target):
        raise ValueError(f"{entry.target[:80]!r} is no target: package.module:Class")
    if not _SHA256.fullmatch(entry.sha256):
        raise ValueError(f"{entry.sha256[:80]!r} is no sha256")
    if not _WHEEL.fullmatch(entry.wheel):
        raise ValueError(f"{entry.wheel[:80]!r} is no file name of a wheel")
