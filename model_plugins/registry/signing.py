"""Ed25519 keys: who answers for a wheel (RFC 8032)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from materials.errors import UsageError

PREFIX = "ed25519:"
_ANOTHER = "put the right key there, or move it away: the next registration makes one"


class SigningKey:
    """A private key. It is written to its file only, and shown nowhere."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public_text(self) -> str:
        """`ed25519:<base64>`, as it stands in an allow list."""
        return PREFIX + base64.b64encode(self.public).decode()

    @property
    def key_id(self) -> str:
        """See `key_id`."""
        return key_id(self.public)

    def sign(self, message: bytes) -> str:
        """Base64 of the signature."""
        return base64.b64encode(self._private.sign(message)).decode()

    @classmethod
    def load_or_create(cls, path: Path) -> tuple[SigningKey, bool]:
        """The key in a file (PEM, PKCS 8, mode 0600), and whether it was made just now.

        Raises:
            UsageError: the file holds no such key, cannot be read, or others may read it.
        """
        try:
            return cls._create(path), True
        except FileExistsError:
            return cls._load(path), False
        except OSError as error:
            raise UsageError(
                f"the signing key {path} cannot be written: {error.strerror}", "free that folder"
            ) from error

    @classmethod
    def _create(cls, path: Path) -> SigningKey:
        if path.exists():
            raise FileExistsError(path)
        private = Ed25519PrivateKey.generate()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)  # unlike a rename it does not take another's place
        finally:
            aside.unlink()
        return cls(private)

    @classmethod
    def _load(cls, path: Path) -> SigningKey:
        try:
            if path.stat().st_mode & 0o077:
                raise UsageError(f"others may read the signing key {path}", f"chmod 600 {path}")
            private = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise UsageError(f"the signing key {path} cannot be read: {error.strerror}", _ANOTHER) from error
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path} holds no PEM key without a password", _ANOTHER) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError(f"{path} holds a key of another kind; ed25519 is used here", _ANOTHER)
        return cls(private)


def key_id(public: bytes) -> str:
    """A short name of a public key: 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(public).hexdigest()[:16]


def parse_public(text: str) -> bytes:
    """`ed25519:<base64>` -> 32 bytes.

    Raises:
        ValueError: it is not one.
    """
    try:
        public = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{text!r} is not base64") from error
    if not text.startswith(PREFIX) or len(public) != 32:
        raise ValueError(f"{text!r} is no ed25519 key: {PREFIX}<base64 of 32 bytes>")
    return public


def verifies(public: bytes, signature: str, message: bytes) -> bool:
    """Whether the holder of `public` signed `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True
