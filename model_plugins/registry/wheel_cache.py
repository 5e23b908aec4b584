"""Unpacked wheels on a worker's disk, each below its hash, and never believed unseen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from model_plugins.registry.wheels import contents, sha256_of, unpack

log = structlog.get_logger(__name__)

_TREE = "tree"
_WHEEL = "wheel.whl"


class WheelCache:
    """`FOLDER/<sha256>/wheel.whl` and its unpacked `tree`. Processes of one machine may share it.

    Args:
        folder: made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tree(self, sha256: str, fetch: Callable[[str], bytes]) -> Path:
        """The folder to import from: compared with the wheel byte by byte, and made anew when it differs.

        Args:
            sha256: of the wheel.
            fetch: hash -> the wheel's bytes, when they are not here.

        Raises:
            ValueError: what was fetched has another hash.
            WheelRefused: it cannot be unpacked.
        """
        place = self._folder / sha256
        data = self._kept(place / _WHEEL, sha256)
        if data is None:
            data = fetch(sha256)
            if sha256_of(data) != sha256:
                raise ValueError(f"a wheel of hash {sha256_of(data)[:12]}… came in the place of {sha256[:12]}…")
            self._keep(place, data)
        tree = place / _TREE
        if not tree.exists():
            self._make(place, data)
        if not _is_whole(tree, data):
            log.warning("unpacked_wheel_differs", folder=str(tree))
            self._remove(tree)
            self._make(place, data)
        return tree

    def _kept(self, path: Path, sha256: str) -> bytes | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        return data if sha256_of(data) == sha256 else None

    def _keep(self, place: Path, data: bytes) -> None:
        place.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=place)
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(aside, place / _WHEEL)

    def _make(self, place: Path, data: bytes) -> None:
        aside = Path(tempfile.mkdtemp(dir=place))
        try:
            unpack(data, aside / _TREE)
            os.rename(aside / _TREE, place / _TREE)
        except OSError:
            if not (place / _TREE).exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _remove(self, tree: Path) -> None:
        aside = Path(tempfile.mkdtemp(dir=tree.parent))
        try:
            os.rename(tree, aside / _TREE)
        except FileNotFoundError:
            log.debug("another process removed it", folder=str(tree))
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _is_whole(tree: Path, data: bytes) -> bool:
    """Exactly the wheel's files, with its bytes, and no links."""
    expected = dict(contents(data))
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                return False
        for name in files:
            path = os.path.join(folder, name)
            content = expected.pop(os.path.relpath(path, tree), None)
            if content is None or Path(path).read_bytes() != content:
                return False
    return not expected
