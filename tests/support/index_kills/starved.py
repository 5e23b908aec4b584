"""Disks that refuse: full, read-only, or with a limit on the size of files.

A full and a read-only disk are real ones, tmpfs in a mount namespace of their own, where `unshare` allows that; the
limit on the size of files (RLIMIT_FSIZE) works everywhere.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from index_kills.book import Verdict
from index_kills.damage import SEED, Folder, Skipped
from index_kills.load import stream

from materials.errors import Retryable
from vector_index.client import IndexClient

ROOT = Path(__file__).parents[3]
DISK = "6m"
IMPATIENT = 3.0
"""Seconds for a call that must be refused: the client repeats it till then."""


def _refused(call: Callable[[], object], verdict: Verdict, *words: str) -> None:
    """The call fails in a way that may be tried again, and says why."""
    verdict.checked += 1
    try:
        answer = call()
    except Retryable as error:
        if any(word not in str(error) for word in words):
            raise AssertionError(f"one of {words} is missing in: {error}") from error
        return
    raise AssertionError(f"a disk that takes nothing took {answer}")


def _starve(folder: Folder, verdict: Verdict) -> None:
    """The disk takes nothing now: writes and snapshots are refused, reads and replays answered."""
    batch = next(stream(folder.scenes, 10_000, SEED))
    with IndexClient(folder.service.address, deadline=IMPATIENT) as client:
        _refused(lambda: client.assign(batch), verdict, "cannot be written", "free or repair the disk")
        _refused(client.snapshot, verdict, "no snapshot could be written")
        _refused(lambda: client.assign(batch), verdict, "cannot be written")
    with folder.client() as client:
        verdict.add(folder.book.check(client, folder.chance, everything=True))


def _recover(folder: Folder, verdict: Verdict) -> None:
    """The disk takes writes again: so does the service, without a restart and after one."""
    with folder.client() as client:
        folder.fill(client, 6)
        verdict.add(folder.book.check(client, folder.chance))
    folder.service.end()
    verdict.add(folder.check())


def size_limit(place: Path) -> Verdict:
    """No file may grow, for a while."""
    verdict = Verdict()
    folder = Folder(place)
    folder.service.start()
    try:
        with folder.client() as client:
            folder.fill(client, 9)
        _, hard = resource.prlimit(folder.service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(folder.service.pid, resource.RLIMIT_FSIZE, (1, hard))
        _starve(folder, verdict)
        resource.prlimit(folder.service.pid, resource.RLIMIT_FSIZE, (hard, hard))
        _recover(folder, verdict)
    finally:
        folder.service.end()
    return verdict


def _full_disk(place: Path) -> Verdict:
    verdict = Verdict()
    with_disk = _on_disk(place)
    ballast = with_disk.index.parent / "ballast"
    with_disk.service.start()
    try:
        with with_disk.client() as client:
            with_disk.fill(client, 9)
        _fill_up(ballast)
        _starve(with_disk, verdict)
        with_disk.service.end()
        _fill_up(ballast)
        _start_on_full(with_disk, verdict)
        ballast.unlink()
        with_disk.service.start()
        _recover(with_disk, verdict)
    finally:
        with_disk.service.end()
    return verdict


def _start_on_full(folder: Folder, verdict: Verdict) -> None:
    """It may serve what it has, or say in one line why not."""
    folder.service.start()
    serving = folder.service.serves()
    verdict.checked += 1
    if serving:
        with folder.client() as client:
            verdict.add(folder.book.check(client, folder.chance, everything=True))
    else:
        last = folder.service.said().strip().splitlines()[-1]
        if "Traceback" in folder.service.said() or not last.startswith("index service: ") or "disk" not in last:
            raise AssertionError(f"a full disk at the start: {folder.service.said()}")
    folder.service.end()


def _read_only(place: Path) -> Verdict:
    verdict = Verdict()
    folder = _on_disk(place)
    folder.service.start()
    try:
        with folder.client() as client:
            folder.fill(client, 9)
        folder.service.end()
        _mount("-o", "remount,ro", str(folder.index.parent))
        folder.must_refuse(verdict, "Read-only file system", "--state", code=2)
        _mount("-o", "remount,rw", str(folder.index.parent))
        verdict.add(folder.check())
    finally:
        folder.service.end()
    return verdict


def _on_disk(place: Path) -> Folder:
    disk = place / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk))
    return Folder(place, disk / "index")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _fill_up(path: Path) -> None:
    """To the last byte."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1 << 6, 1):
            try:
                while os.write(file.fileno(), b"x" * size) == size:
                    pass
            except OSError:
                continue


def _in_namespace(name: str, place: Path) -> Verdict:
    """The case in a mount namespace of its own.

    Raises:
        Skipped: this machine allows none.
    """
    unshare = shutil.which("unshare")
    probe = [str(unshare), "-rm", "mount", "-t", "tmpfs", "tmpfs", str(place)]
    if unshare is None or subprocess.run(probe, check=False, capture_output=True).returncode:
        raise Skipped("no mount namespaces here: a disk cannot be made full or read-only")
    command = [unshare, "-rm", sys.executable, "-m", "index_kills.starved", name, str(place)]
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"
    done = subprocess.run(command, check=False, capture_output=True, env={**os.environ, "PYTHONPATH": paths})
    if done.returncode:
        raise AssertionError(done.stderr.decode(errors="replace")[-3000:])
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Verdict)


def full_disk(place: Path) -> Verdict:
    """Not a byte is free: while it serves, and when it starts."""
    return _in_namespace("full", place)


def read_only(place: Path) -> Verdict:
    """The disk is mounted read-only."""
    return _in_namespace("read-only", place)


if __name__ == "__main__":
    case = {"full": _full_disk, "read-only": _read_only}[sys.argv[1]]
    sys.stdout.write(msgspec.json.encode(case(Path(sys.argv[2]))).decode() + "\n")
