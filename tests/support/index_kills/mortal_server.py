"""The index service that dies on order: `python mortal_server.py ORDERS [options of the service]`.

It is the real service, started by its own entry point; a hook at its crash points reads ORDERS, a file of one line
`point nth`, and once it is there the process kills itself (SIGKILL) when that point is passed for the nth time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]


def executioner(orders: Path) -> Callable[[str], None]:
    """The hook."""
    lock = threading.Lock()
    passed = 0

    def hook(point: str) -> None:
        nonlocal passed
        try:
            wanted, nth = orders.read_text().split()
        except FileNotFoundError:
            return
        if point != wanted:
            return
        with lock:
            passed += 1
            if passed >= int(nth):
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from vector_index import crash_points, server

    crash_points.install(executioner(Path(sys.argv[1])))
    del sys.argv[1]
    server.main()
