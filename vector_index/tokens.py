"""Who may write: which calls need a token, the file that holds the tokens, and how a caller shows one.

A token is a secret by reference: programs are told the *file*, and only the file's owner can read it. It is never
logged. Several lines are several valid tokens, so that one can be exchanged without a pause: add a line, move the
clients, take the old line out.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from materials.errors import UsageError

READS = frozenset(
    {
        *("Search", "SearchBatch", "Get", "Members", "MembersPage", "Resolve", "Stats", "Lacking"),
        *("History", "Explain", "MergeProposals"),
    }
)
"""Calls of `VectorIndex` that change nothing and are open to all who reach the port."""
WRITES = frozenset({"Assign", "Delete", "Enrich", "Snapshot", "MergeContentIds", "SplitContentId", "Judge"})
"""Calls that change something. Whatever is not listed under `READS` needs a token, listed here or not."""

HEADER = "authorization"
CHALLENGE = "sosie-token-file-bin"
"""Metadata of a refusal to a caller on this machine: the path of the file that holds the token."""
ENVIRONMENT = "SOSIE_INDEX_TOKEN_FILE"
FILE_NAME = "token"
PREFIX = "sosie-index-"
_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{32,128}")
_LARGEST = 64 * 1024


def make_token() -> str:
    """256 random bits, with a prefix by which scanners for leaked secrets know it."""
    return PREFIX + secrets.token_urlsafe(32)


def ensure_token_file(path: Path) -> Path:
    """Make the file with one new token, readable by its owner alone, unless it is there.

    Raises:
        UsageError: it cannot be made, or others may read it, or it holds no token.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(make_token() + "\n")
                file.flush()
                os.fsync(descriptor)
    except OSError as error:
        raise UsageError(
            f"the token file {path} cannot be made ({error.strerror})", "give another with --token-file FILE"
        ) from error
    read_tokens(path)
    return path


def read_tokens(path: Path) -> tuple[str, ...]:
    """The valid tokens of a file, one a line; lines of another form are passed over.

    Raises:
        UsageError: it cannot be read, others than its owner may read it, or no line is a token.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            text = file.read(_LARGEST).decode("ascii", "replace")
    except OSError as error:
        raise UsageError(
            f"the token file {path} cannot be read ({error.strerror})",
            f"run as its owner, or name yours: {ENVIRONMENT}",
        ) from error
    if status.st_mode & 0o077:
        raise UsageError(f"the token file {path} can be read by others", f"chmod 600 {path}")
    tokens = tuple(line for line in (line.strip() for line in text.splitlines()) if _TOKEN.fullmatch(line))
    if not tokens:
        raise UsageError(
            f"the token file {path} holds no token", "remove it and restart the index service: it makes a new one"
        )
    return tokens


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    return ((HEADER, f"Bearer {token}"),)


class Gate:
    """Checks tokens against a file, which is read again when it changes.

    Args:
        path: of the tokens; None: nothing is asked for.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[str, ...] = ()

    def admits(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call carries a valid token."""
        if self.path is None:
            return True
        shown = next((value for key, value in metadata if key == HEADER), "")
        text = shown.decode("latin-1") if isinstance(shown, bytes) else str(shown)
        scheme, _, token = text.partition(" ")
        offered = token.strip().encode("utf-8", "replace")
        if scheme.lower() != "bearer" or not offered:
            return False
        # every token is compared, in constant time: how long it takes tells nothing
        matches = [hmac.compare_digest(offered, valid.encode()) for valid in self._valid()]
        return any(matches)

    def _valid(self) -> tuple[str, ...]:
        if self.path is None:
            return ()
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._tokens, self._seen = read_tokens(self.path), seen
        except (OSError, UsageError):
            self._tokens, self._seen = (), None  # taken away: then nobody may write
        return self._tokens
