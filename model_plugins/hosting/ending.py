"""A child's side of its end: it never outlives its parent, and is the first to go when memory is short."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import socket
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_log = logging.getLogger(__name__)


def end_with_parent(connection: socket.socket, parent: int) -> None:
    """Two ways: the signal also ends a child that hangs in C; the socket also ends one whose parent lives on.

    Args:
        connection: to the parent.
        parent: its process id, to notice that it died before this was called.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)
    hang_up = select.poll()
    hang_up.register(connection.fileno(), 0)

    def wait() -> None:
        hang_up.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name="ends-with-parent").start()
    try:
        # when memory is short, the kernel shall take the child and not the worker
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError as error:
        _log.debug("oom_score_adj stays as it is: %s", error)
