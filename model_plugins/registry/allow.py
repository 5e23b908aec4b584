"""Whose wheels a worker loads: a file on its own machine, which no registry can change.

    # STATE/plugins.allow, or the file that SOSIE_PLUGIN_ALLOW names
    ed25519:0PpT…=          # the vision team
    sha256:9f86d081884c…    # one wheel, whoever signed it

No file, or an empty one, allows nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from model_plugins.registry.entries import PluginEntry
from model_plugins.registry.signing import PREFIX, key_id, parse_public, verifies

ENVIRONMENT = "SOSIE_PLUGIN_ALLOW"
FILE = "plugins.allow"
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


class AllowList(msgspec.Struct, frozen=True):
    """`keys`: public keys by their ids. `hashes`: of wheels. `problems`: lines that allow nothing, and why."""

    keys: dict[str, bytes] = {}
    hashes: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, file: str = FILE) -> AllowList:
        """One key or hash a line; `#` begins a comment. A line that is neither allows nothing and is a problem."""
        keys: dict[str, bytes] = {}
        hashes: set[str] = set()
        problems: list[str] = []
        for number, line in enumerate(text.splitlines(), 1):
            item = line.partition("#")[0].strip()
            found = _HASH.fullmatch(item)
            if found:
                hashes.add(found[1])
            elif item.startswith(PREFIX):
                try:
                    public = parse_public(item)
                except ValueError as error:
                    problems.append(f"{file}:{number}: {error}")
                else:
                    keys[key_id(public)] = public
            elif item:
                problems.append(f"{file}:{number}: neither ed25519:<base64> nor sha256:<64 hexadecimal digits>")
        return cls(keys, frozenset(hashes), tuple(problems))

    def refusal(self, entry: PluginEntry) -> str:
        """Why the wheel of an entry is not loaded; empty when it is."""
        if entry.sha256 in self.hashes:
            return ""
        told = f"; {'; '.join(self.problems)}" if self.problems else ""
        if not entry.signature:
            return f"it is not signed, and its hash is not on the allow list{told}"
        public = self.keys.get(entry.key_id)
        if public is None:
            return f"neither the key {entry.key_id[:16] or '(none)'} nor its hash is on the allow list{told}"
        if not verifies(public, entry.signature, entry.signed_bytes):
            return f"its signature is not one of key {entry.key_id} over this name, version, target and hash"
        return ""


class AllowFile:
    """An allow list that is read again when its file changes.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int, int] | None = None
        self._list = AllowList()

    @classmethod
    def find(cls, state: Path, environment: Mapping[str, str]) -> AllowFile:
        """The one that the environment names, else the one of the state folder."""
        named = environment.get(ENVIRONMENT, "")
        return cls(Path(named).expanduser() if named else state / FILE)

    def current(self) -> AllowList:
        """Never raises: a file that cannot be used allows nothing, and says why among the problems."""
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
            if stamp != self._stamp:
                if found.st_mode & 0o002:
                    self._list = AllowList(problems=(f"{self.path} may be written by everyone: chmod o-w",))
                else:
                    self._list = AllowList.parse(self.path.read_text(), self.path.name)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._list = None, AllowList(problems=(f"there is no {self.path}",))
        except (OSError, UnicodeDecodeError) as error:
            self._stamp, self._list = None, AllowList(problems=(f"{self.path} cannot be read: {error}",))
        return self._list

    def add(self, item: str, comment: str) -> None:
        """Append one key or hash, unless it is there."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        if any(line.partition("#")[0].strip() == item for line in lines):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        aside.write_text("\n".join([*lines, f"{item}  # {comment}"]) + "\n")
        aside.chmod(self.path.stat().st_mode & 0o777 if self.path.exists() else 0o644)
        os.replace(aside, self.path)
