"""Names of files that are not for the job: beside its folder, through links, pipes, devices, sockets, `/proc`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import quote

from hostile.case import Case, case


def cases(folder: Path) -> list[Case]:
    """Prepares the traps in the input's folder, and names them."""
    traps = folder / "traps"
    traps.mkdir()
    secret = folder.parent / "secret.jpg"
    secret.write_bytes(b"\xff\xd8\xff a secret beside the input folder")
    _link(traps / "link-out", secret)
    _link(traps / "link-passwd", Path("/etc/passwd"))
    _link(traps / "link-root", Path("/"))
    _link(traps / "link-environ", Path("/proc/self/environ"))
    _link(traps / "link-memory", Path("/proc/self/mem"))
    _link(traps / "link-descriptor", Path("/proc/self/fd/0"))
    _link(traps / "link-cwd", Path("/proc/self/cwd"))
    _link(traps / "link-zero", Path("/dev/zero"))
    _link(traps / "link-random", Path("/dev/urandom"))
    _link(traps / "link-tty", Path("/dev/tty"))
    _link(traps / "link-stdin", Path("/dev/stdin"))
    _link(traps / "loop", traps / "loop")
    _link(traps / "nowhere", traps / "not-there")
    os.mkfifo(traps / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(_short(traps / "socket"))
    (traps / "folder.jpg").mkdir()
    (traps / "empty.jpg").touch()
    with (traps / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    names = {
        "up": "../secret.jpg",
        "up-many": "../" * 60 + "etc/passwd",
        "up-inside": "traps/../../secret.jpg",
        "up-dots": "traps/./.././../secret.jpg",
        "absolute": str(secret),
        "etc": "/etc/passwd",
        "slashes": "////etc/passwd",
        "file-uri": "file:///etc/passwd",
        "file-uri-upper": "FILE:///etc/passwd",
        "file-uri-escaped": "file:///etc/%70asswd",
        "file-uri-hidden-slash": "file:///" + quote(str(folder)[1:]) + "/traps%2f..%2f..%2fsecret.jpg",
        "file-uri-dots": f"file://{quote(str(folder))}/%2e%2e/secret.jpg",
        "file-uri-nul": "file:///etc/passwd%00.jpg",
        "file-uri-host": "file://evil.test/etc/passwd",
        "file-uri-relative": "file:../secret.jpg",
        "file-uri-query": "file:///etc/passwd?x=.jpg",
        "proc-self": "/proc/self/environ",
        "proc-root": "/proc/self/root/etc/passwd",  # of every Linux: the file system's root by another name
        "proc-mem": "/proc/1/mem",
        "sys": "/sys/kernel/profiling",
        "dev-zero": "/dev/zero",
        "dev-full": "/dev/full",
        "dev-random": "/dev/urandom",
        "unc": "//evil.test/share/a.jpg",
        "backslashes": "..\\..\\secret.jpg",
        "long-name": "x" * 4000,
        "long-parts": "a/" * 2000 + "b",
        "bidi-name": "photo\u202egpj.exe",
        "home": "~/../secret.jpg",
        "under-a-file": "traps/empty.jpg/x",
        "dot": ".",
        "not-there": "traps/none.jpg",
    }
    names |= {name: f"traps/{name}" for name in sorted(os.listdir(traps))}
    names["link-root-file"] = "traps/link-root/etc/hostname"
    names["link-cwd-file"] = "traps/link-cwd/pyproject.toml"
    return [case("path", name.removesuffix(".jpg"), medium=medium) for name, medium in names.items()]


def _link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def _short(path: Path) -> str:
    """A socket's name has at most 107 bytes: relative where that helps."""
    return min(str(path), os.path.relpath(path), key=len)
