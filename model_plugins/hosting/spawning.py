"""Starts `python -m MODULE` as a child in a session of its own, with little environment and no secrets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping

# Secrets of the worker stay out of the process that meets hostile bytes or foreign code.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child inherits: no more than it needs to run, one thread for each numeric library, our import path."""
    environment = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    environment |= dict.fromkeys(_ONE_THREAD, "1")
    environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return environment | dict(extra or {})


def spawn(
    module: str,
    connection: socket.socket,
    memory: int,
    *,
    output: int = subprocess.DEVNULL,
    errors: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `module` with three arguments: its socket, its memory (both descriptors) and our process id.

    The kernel counts the end of the *thread* that calls this as the parent's death (PR_SET_PDEATHSIG): call it in one
    that lives as long as the child shall.

    Args:
        module: dotted.
        connection: the child's end; it is closed here.
        memory: descriptor of the shared memory.
        output: where its standard output goes.
        errors: where its standard error goes; None for ours.
        environment: in addition to `clean_environment`.
    """
    with connection:
        descriptors = (connection.fileno(), memory)
        # -P: the working directory is not a place to import from
        command = [sys.executable, "-P", "-m", module, *map(str, descriptors), str(os.getpid())]
        return subprocess.Popen(
            command,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is for the job, which closes its children itself
        )
