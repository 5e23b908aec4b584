"""What may befall a folder beside kills: damaged, starved or foreign files. One function a case.

Each fills a folder through the real service, does its harm, and asks: is everything that was acknowledged still
answered, unchanged - or refused in one clear line, with nothing touched, so that all is there once the harm is undone?
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from index_kills.book import Book, Verdict
from index_kills.life import PATIENCE, Service
from index_kills.load import Scenes, stream

from vector_index.client import IndexClient

BATCHES = 30
SEED = 11


class Skipped(Exception):
    """This machine does not allow the case; why."""


class Folder:
    """A filled folder, its service and what it acknowledged."""

    def __init__(self, place: Path, state: Path | None = None) -> None:
        self.scenes, self.book, self.chance = Scenes(SEED), Book(), random.Random(SEED)
        self.service = Service(place, state)
        self.index = self.service.state
        self.log = self.index / "log.sqlite"
        self.tail = self.index / "log.sqlite-wal"

    def fill(self, client: IndexClient, batches: int = BATCHES, clients: int = 1) -> None:
        """Send what one client of the kill tests sends."""
        for number in range(clients):
            for batch in islice(stream(self.scenes, len(self.book) + number, SEED), batches):
                self.book.record(batch, client.assign(batch))

    def client(self) -> IndexClient:
        """To whichever service listens."""
        return IndexClient(self.service.address, deadline=PATIENCE)

    def check(self) -> Verdict:
        """Start, ask for everything, kill."""
        self.service.start()
        with self.client() as client:
            verdict = self.book.check(client, self.chance, everything=True)
            verdict.add(self.book.check_search(client, self.scenes, self.chance, 10))
        self.service.end()
        return verdict

    def must_refuse(self, verdict: Verdict, *words: str, code: int = 1) -> None:
        """The service does not start, and says why in one line with these words."""
        found, line = self.service.refusal()
        verdict.checked += 1
        if found != code or any(word not in line for word in words):
            raise AssertionError(f"exit code {found}, not {code}, or one of {words} is missing in: {line}")


@contextmanager
def filled(place: Path, *, clean: bool = False) -> Iterator[Folder]:
    """A folder after a kill, or after a clean stop."""
    folder = Folder(place)
    folder.service.start()
    try:
        with folder.client() as client:
            folder.fill(client)
        folder.service.stop() if clean else folder.service.end()
        yield folder
    finally:
        folder.service.end()


def flip(path: Path, chance: random.Random) -> tuple[int, int]:
    """Turn one bit; where, and what stood there."""
    with path.open("r+b") as file:
        place = chance.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << chance.randrange(8))]))
    return place, byte


def put_back(path: Path, place: int, byte: int) -> None:
    """Undo `flip`."""
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([byte]))


def torn_tail(place: Path) -> Verdict:
    """The end of the write-ahead file is what a crash in the middle of a write leaves."""
    verdict = Verdict()
    with filled(place) as folder:
        whole = folder.tail.read_bytes()
        for rest in (b"\0" * 2000, whole[-4120:-2000], folder.chance.randbytes(6000), whole[-4120:-4096]):
            with folder.tail.open("ab") as file:
                file.write(rest)
            verdict.add(folder.check())
    return verdict


def cut_log(place: Path) -> Verdict:
    """Acknowledged bytes are gone from the end of the log: refused; all is there when they are back."""
    verdict = Verdict()
    with filled(place) as folder:
        whole = folder.tail.read_bytes()
        for left in (whole[:-1], whole[: len(whole) // 2], b""):
            folder.tail.write_bytes(left)
            folder.must_refuse(verdict, "were acknowledged", "sosie index restore")
        folder.tail.write_bytes(whole)
        verdict.add(folder.check())
    return verdict


def flipped_tail(place: Path) -> Verdict:
    """A bit flips in the write-ahead file, where SQLite would drop all that follows."""
    verdict = Verdict()
    with filled(place) as folder:
        whole = folder.tail.read_bytes()
        for _ in range(4):
            where, byte = flip(folder.tail, folder.chance)
            code, line = folder.service.refusal()
            verdict.checked += 1
            if code != 1 or "were acknowledged" not in line:
                raise AssertionError(f"a bit flipped at {where} of {len(whole)}: exit code {code}, {line}")
            put_back(folder.tail, where, byte)
        verdict.add(folder.check())
    return verdict


def lost_log(place: Path) -> Verdict:
    """The log itself is gone."""
    verdict = Verdict()
    with filled(place, clean=True) as folder:
        aside = folder.log.with_name("aside")
        folder.log.rename(aside)
        folder.must_refuse(verdict, "were acknowledged", "acknowledged")
        folder.log.unlink(missing_ok=True)
        aside.rename(folder.log)
        verdict.add(folder.check())
    return verdict


def damaged_snapshots(place: Path) -> Verdict:
    """A bit flips in each file of the snapshots, one after another; then one is gone."""
    verdict = Verdict()
    with filled(place) as folder:
        files = sorted(path for path in (folder.index / "snapshots").rglob("*") if path.is_file())
        if not files:
            raise AssertionError("no snapshot was taken")
        for path in files[-4:]:
            flip(path, folder.chance)
        verdict.add(folder.check())
        shutil.rmtree(folder.index / "snapshots")
        verdict.add(folder.check())
    return verdict


def second_process(place: Path) -> Verdict:
    """Another service on the same folder is refused, and the first does not notice."""
    verdict = Verdict()
    folder = Folder(place)
    (place / "other").mkdir()
    other = Service(place / "other", folder.index)
    folder.service.start()
    try:
        with folder.client() as client:
            folder.fill(client, 6)
            code, line = other.refusal()
            if code != 2 or "another index service" not in line or "--state" not in line:
                raise AssertionError(f"exit code {code}: {line}")
            folder.fill(client, 6)
            verdict.add(folder.book.check(client, folder.chance, everything=True))
    finally:
        other.end()
        folder.service.end()
    return verdict


def other_formats(place: Path) -> Verdict:
    """A log of the future and one from before the first format."""
    verdict = Verdict()
    with filled(place, clean=True) as folder:
        now = _set_format(folder.log, 99)
        folder.must_refuse(verdict, "format 99", "newer", "--state")
        _set_format(folder.log, 0)
        folder.must_refuse(verdict, "format 0", "--state")
        _set_format(folder.log, now)
        verdict.add(folder.check())
    return verdict


def _set_format(log: Path, number: int) -> int:
    connection = sqlite3.connect(log, isolation_level=None)
    try:
        before = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute(f"PRAGMA user_version={number}")
        return before
    finally:
        connection.close()


def foreign_log(place: Path) -> Verdict:
    """What lies there is no log."""
    verdict = Verdict()
    with filled(place, clean=True) as folder:
        aside = folder.log.with_name("aside")
        folder.log.rename(aside)
        for content in (b"not a database, but long enough to be looked at. " * 100, os.urandom(9000)):
            folder.log.write_bytes(content)
            folder.must_refuse(verdict, "log.sqlite")
        folder.log.unlink()
        aside.rename(folder.log)
        verdict.add(folder.check())
    return verdict
