"""Fetch jars by Maven coordinate, pinned by sha256 in `lock.json`, into `~/.cache/sosie/jars`.

Run as `python -m deploy.jars.maven` by `make setup`; `sosie up --kafka` and jobs on Kafka call `ensure` too, which then
only looks. `SOSIE_MAVEN` names another repository of the same layout: a mirror's https address, or a folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from materials.errors import SosieError, UsageError
from model_plugins.recipes.index_file import https_get, sha256_of, write_whole

JarSet = Literal["broker", "connector"]
CENTRAL = "https://repo.maven.apache.org/maven2"
MIRROR = "SOSIE_MAVEN"
REMEDY = f"check the network and run `make setup` again, or name a mirror: {MIRROR}=https://HOST/PATH (or a folder)"
_PARALLEL = 6
Say = Callable[[str], None]
Fetch = Callable[[str], bytes]


class Jar(msgspec.Struct, frozen=True):
    """One pinned artifact. `coordinate`: `group:artifact:version`; `bytes`: its size."""

    coordinate: str
    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        """Its file's name."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    @property
    def path(self) -> str:
        """Where it lies in a repository of Maven's layout."""
        group, artifact, version = self.coordinate.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.name}"


@cache
def locked(which: JarSet) -> tuple[Jar, ...]:
    """The pinned jars of a set."""
    lock = msgspec.json.decode(Path(__file__).with_name("lock.json").read_bytes(), type=dict[str, tuple[Jar, ...]])
    return lock[which]


def default_folder() -> Path:
    """`$SOSIE_CACHE/jars`, or `~/.cache/sosie/jars`."""
    return Path(os.environ.get("SOSIE_CACHE") or Path.home() / ".cache" / "sosie") / "jars"


def ensure(
    which: JarSet,
    folder: Path | None = None,
    *,
    say: Say | None = None,
    get: Fetch | None = None,
    attempts: int = 4,
    wait: Callable[[float], None] = time.sleep,
) -> list[Path]:
    """The jars of a set, fetched where they are absent.

    A jar of the right size counts as present: its bytes were checked against the lock when it was written, whole.

    Args:
        folder: the cache; default `default_folder()`.
        say: gets one line when something is fetched.
        get: URL -> body, raising OSError.
        attempts: tries for each jar.
        wait: sleeps so many seconds between two of them.

    Raises:
        UsageError: the repository cannot be reached, says no, or gives other bytes; with the remedy.
    """
    folder = folder or default_folder()
    jars = locked(which)
    missing = [jar for jar in jars if not _is_there(folder / jar.name, jar)]
    if missing:
        if say is not None:
            size = sum(jar.bytes for jar in missing) / 1e6
            say(f"fetching {len(missing)} jars for Kafka ({size:.0f} MB, once) into {folder}")
        repository = os.environ.get(MIRROR) or CENTRAL
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda jar: _fetch(jar, folder, repository, get or _body, attempts, wait), missing))
    return [folder / jar.name for jar in jars]


def present(which: JarSet, folder: Path | None = None) -> list[Path]:
    """The jars of a set that are there already; nothing is fetched."""
    folder = folder or default_folder()
    return [folder / jar.name for jar in locked(which) if _is_there(folder / jar.name, jar)]


def connector_jar() -> Path:
    """Flink's Kafka connector: must lie on the class path of the client and of the cluster.

    Raises:
        UsageError: it is not there and cannot be fetched.
    """
    return ensure("connector")[0]


def _is_there(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.bytes
    except FileNotFoundError:
        return False


def _body(url: str) -> bytes:
    return https_get(url) if url.startswith("https:") else Path(url).read_bytes()


def _fetch(jar: Jar, folder: Path, repository: str, get: Fetch, attempts: int, wait: Callable[[float], None]) -> None:
    url = f"{repository.rstrip('/')}/{jar.path}"
    for attempt in range(attempts):
        try:
            body = get(url)
            break
        except (OSError, ValueError) as error:
            if attempt + 1 == attempts:
                raise UsageError(f"could not fetch {jar.coordinate} from {url}: {error}", REMEDY) from error
            wait(2.0**attempt)
    found = hashlib.sha256(body).hexdigest()
    if found != jar.sha256:
        raise UsageError(f"{jar.name} from {url} has sha256 {found}; pinned is {jar.sha256}", REMEDY)
    write_whole(folder / jar.name, body)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch every set, and check the hash of what is there; 1 when something is missing or damaged."""
    del arguments

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        for which in ("broker", "connector"):
            for jar, path in zip(locked(which), ensure(which, say=say), strict=True):
                if sha256_of(path) != jar.sha256:
                    path.unlink()
                    raise SosieError(f"{path} was damaged and is removed; run this again")
    except UsageError as error:
        say(f"{error.message} -> {error.remedy}")
        return 1
    except SosieError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
