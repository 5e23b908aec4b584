from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.processes import MARK, ProcessId, alive, end, identify, marked, spawn, spawn_detached, wait_until

READY = "import sys, signal; {}; open('ready', 'w').close(); signal.pause()"


def start(folder: Path, before: str = "pass", mark: str = "") -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], MARK: mark or f"{folder}#sleeper"}
    child = spawn([sys.executable, "-c", READY.format(before)], environment, folder, folder / "log" / "out.log")
    assert wait_until((folder / "ready").exists, 20)
    return child


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with start(tmp_path) as process:
        yield process
        process.kill()


def test_a_process_is_known_by_pid_and_start(child: subprocess.Popen[bytes]) -> None:
    identity = identify(child.pid)
    assert identity is not None
    assert alive(identity)
    recycled = ProcessId(identity.pid, identity.started + "9")
    assert not alive(recycled)


def test_a_zombie_is_not_alive(child: subprocess.Popen[bytes]) -> None:
    identity = identify(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(identity), 10)
    assert Path(f"/proc/{child.pid}").exists()  # not reaped yet, and yet gone


def test_a_recycled_pid_is_never_signalled(child: subprocess.Popen[bytes]) -> None:
    end([ProcessId(child.pid, "another-1")], 0)
    assert child.poll() is None


def test_end_waits_for_who_obeys_and_kills_who_does_not(tmp_path: Path) -> None:
    with start(tmp_path, "signal.signal(15, signal.SIG_IGN)") as stubborn:
        identity = identify(stubborn.pid)
        assert identity is not None
        begin = time.monotonic()
        end([identity], 0.3)
        assert time.monotonic() - begin >= 0.3
        assert stubborn.wait(5) == -signal.SIGKILL


def test_marked_processes_are_found_and_only_those(tmp_path: Path) -> None:
    with start(tmp_path, mark=f"{tmp_path}#one") as process:
        found = marked(f"{tmp_path}#")
        assert [(identity.pid, mark) for identity, mark in found] == [(process.pid, f"{tmp_path}#one")]
        assert marked(f"{tmp_path}x#") == []
        process.kill()


def test_a_detached_process_is_nobodys_child_and_is_found_by_its_mark(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", READY.format("pass")]
    spawn_detached(argv, {MARK: f"{tmp_path}#away"}, tmp_path, tmp_path / "out.log")
    assert wait_until((tmp_path / "ready").exists, 20)
    found = [identity for identity, _ in marked(f"{tmp_path}#")]
    assert len(found) == 1
    parent = int(Path(f"/proc/{found[0].pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    assert parent != os.getpid()
    end(found, 5)
    assert marked(f"{tmp_path}#") == []


def test_a_large_log_is_rotated_before_it_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_bytes(b"x" * (16 * 1024 * 1024 + 1))
    spawn([sys.executable, "-c", "print('hello')"], {}, tmp_path, log).wait()
    assert log.read_text() == "hello\n"
    assert (tmp_path / "part.log.1").stat().st_size > 16 * 1024 * 1024
