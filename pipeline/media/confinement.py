"""What a decode child gives up: memory, time, files, core dumps and, where the kernel lets it, the network.

This bounds accidents and bombs. It is *not* a sandbox: a decoder that is taken over runs as the worker's user, reads
what that user may read and writes what it may write. Who needs more runs workers in containers of their own, under a
user that owns nothing, with a seccomp profile (docs/hostile-input.md).
"""

from __future__ import annotations

import ctypes
import os
import resource

from pipeline.media.limits import MediaLimits

MAX_FILES = 256
_LARGEST_FILE = 512 * 1024**2
"""Bytes: the shared memory is a file, too, and holds a video's frames."""
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # linux/sched.h
_SPARE_S = 5


def confine(limits: MediaLimits) -> None:
    """Bound address space, open files, written files and core dumps of this process, for good."""
    for what, wanted in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_FSIZE, max(_LARGEST_FILE, 8 * limits.max_bytes)),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (most, most))


def grant_time(limits: MediaLimits) -> None:
    """Processor time for one more medium; the parent's clock ends it earlier, unless the parent hangs itself."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + limits.timeout_s) + _SPARE_S
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def leave_network() -> bool:
    """Move this process into an empty network namespace: no address can be reached from it, not even loopback.

    Sockets that are open already stay. Call it before there are threads.

    Returns:
        False where the kernel or the container does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:  # without a user namespace: root would lose the files of others in one
        return bool(libc.unshare(_NEW_NETWORK) == 0)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_USER | _NEW_NETWORK) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        except OSError:  # ids are then shown as nobody's; rights on files stay those of the user
            return True
    return True
