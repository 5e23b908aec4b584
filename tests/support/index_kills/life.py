"""One folder, one service after another: concurrent clients write, the service is killed, the next must know all."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from index_items import free_port
from index_kills.book import Book, Verdict
from index_kills.load import Scenes, stream

from materials.errors import Retryable
from vector_index.client import IndexClient

SERVER = Path(__file__).with_name("mortal_server.py")
ROOT = Path(__file__).parents[3]
PATIENCE = 120.0
"""Seconds for anything to happen on a busy machine before the test says that it does not."""
SETTINGS = ("--open-writes", "--snapshot-every=60", "--flat-limit=100", "--seal-rows=32", "--disk-reserve=0")
"""Small enough that a few hundred materials seal, merge and snapshot all the time."""
AT_START = ("restore", "restore-rows", "migration")


class Moment(msgspec.Struct, frozen=True):
    """Kill at the `nth` passing of a crash point under load; `point` "random": from outside, `nth` ms after a while."""

    point: str
    nth: int = 1


class Case(msgspec.Struct):
    """What one kill did."""

    name: str
    moment: Moment
    verdict: Verdict


class Service:
    """The service on one folder and port, started again and again."""

    def __init__(self, folder: Path, state: Path | None = None) -> None:
        self.state = state or folder / "index"
        self._orders = folder / "orders"
        self._log = folder / "service.log"
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; clients wait for it by themselves."""
        command = [sys.executable, str(SERVER), str(self._orders)]
        command += ["--state", str(self.state), "--listen", self.address, *SETTINGS]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def refusal(self) -> tuple[int, str]:
        """Start where it must not: the exit code and the last line that it says.

        Raises:
            AssertionError: it serves, or ended in a stack trace.
        """
        before = len(self._log.read_text(errors="replace")) if self._log.exists() else 0
        self.start()
        if self._process is None:
            raise AssertionError("it was never started")
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it serves where it should refuse:\n{self.said()}") from None
        said = self._log.read_text(errors="replace")[before:].strip()
        if "Traceback" in said:
            raise AssertionError(f"a stack trace instead of a line:\n{said}")
        return code, said.splitlines()[-1]

    def stop(self) -> None:
        """As asked: SIGTERM, with a last snapshot."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def order(self, moment: Moment) -> None:
        """From now on the service dies at the moment."""
        unfinished = self._orders.with_suffix(".tmp")
        unfinished.write_text(f"{moment.point} {moment.nth}")
        unfinished.rename(self._orders)

    def kill(self) -> None:
        """Now, from outside."""
        if self._process is not None:
            self._process.kill()

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        if self._process is None:
            raise AssertionError("it was never started")
        return self._process.pid

    def serves(self) -> bool:
        """Wait until it listens or has ended."""
        with IndexClient(self.address, deadline=1.0) as client:
            while self._process is not None and self._process.poll() is None:
                try:
                    client.stats()
                except Retryable:
                    continue
                return True
        return False

    def wait_dead(self) -> None:
        """Until SIGKILL has ended it.

        Raises:
            AssertionError: it lives on, or ended by itself.
        """
        if self._process is None:
            raise AssertionError("it was never started")
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the moment never came: {self._orders.read_text()}\n{self.said()}") from None
        self._orders.unlink(missing_ok=True)
        if code != -signal.SIGKILL:
            raise AssertionError(f"the service ended with {code}:\n{self.said()}")

    def end(self) -> None:
        """Whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-3000:]


class Crowd:
    """Clients in threads of their own; they write while they may, and stand still between two batches."""

    def __init__(self, address: str, scenes: Scenes, seed: int, clients: int, book: Book) -> None:
        self._book = book
        self._turn = threading.Condition()
        self._going = False
        self._ended = False
        self._busy = 0
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(address, scenes, number, seed), daemon=True)
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, address: str, scenes: Scenes, number: int, seed: int) -> None:
        try:
            with IndexClient(address, deadline=PATIENCE) as client:
                for batch in stream(scenes, number, seed):
                    with self._turn:
                        self._turn.wait_for(lambda: self._going or self._ended)
                        if self._ended:
                            return
                        self._busy += 1
                    try:
                        self._book.record(batch, client.assign(batch))
                    finally:
                        with self._turn:
                            self._busy -= 1
                            self._turn.notify_all()
        except BaseException as error:
            with self._turn:
                self._failure = error
                self._turn.notify_all()
            with self._book.changed:
                self._book.changed.notify_all()

    def go(self) -> None:
        """Write."""
        with self._turn:
            self._going = True
            self._turn.notify_all()

    def pause(self) -> None:
        """No new batch is begun."""
        with self._turn:
            self._going = False

    def wait_idle(self) -> None:
        """Until every batch that was begun is answered."""
        with self._turn:
            if not self._turn.wait_for(lambda: self._busy == 0 or self._failure is not None, PATIENCE):
                raise AssertionError("a client's call was not answered")
        self.raise_failure()

    def wait_acknowledged(self, count: int) -> None:
        """Until the book holds so many."""
        with self._book.changed:
            done = self._book.changed.wait_for(lambda: len(self._book) >= count or self._failure is not None, PATIENCE)
        self.raise_failure()
        if not done:
            raise AssertionError(f"{len(self._book)} of {count} items were acknowledged")

    def raise_failure(self) -> None:
        """What a client met."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Let them go home."""
        with self._turn:
            self._ended = True
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE)


def live(moments: Sequence[Moment], seed: int, clients: int = 3, folder: Path | None = None) -> Iterator[Case]:
    """Kill at each moment in turn; after each, start again and check everything that was acknowledged."""
    chance = random.Random(seed)
    scenes, book = Scenes(seed), Book()
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sosie-kills-")))
        service = Service(place)
        stack.callback(service.end)
        service.start()
        crowd = Crowd(service.address, scenes, seed, clients, book)
        stack.callback(crowd.end)
        stack.callback(service.end)  # before the clients end: they would wait for it
        client = stack.enter_context(IndexClient(service.address, deadline=PATIENCE))
        for number, moment in enumerate(moments):
            crowd.go()
            _die(service, crowd, book, moment, chance)
            crowd.pause()
            service.start()
            crowd.wait_idle()
            verdict = book.check(client, chance, everything=number + 1 == len(moments))
            verdict.add(book.check_search(client, scenes, chance, 5))
            yield Case(f"seed {seed}, kill {number}", moment, verdict)


def _die(service: Service, crowd: Crowd, book: Book, moment: Moment, chance: random.Random) -> None:
    crowd.wait_acknowledged(len(book) + chance.randint(30, 120))
    if moment.point == "random":
        threading.Event().wait(moment.nth / 1000)  # the moment is to be any moment
        service.kill()
    elif moment.point in AT_START:
        service.kill()
        service.wait_dead()
        service.order(moment)
        service.start()
    else:
        service.order(moment)
    service.wait_dead()
