"""The way back into the job."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from reconcile.retry import folders


class RetryOutlet(Protocol):
    """Where due records go."""

    def serves(self, run_id: str) -> bool:
        """Whether that run reads from here: the queue may be shared with systems elsewhere."""
        ...

    def write(self, run_id: str, batch_id: str, lines: Sequence[bytes]) -> None:
        """Returns when the lines are durable; writing the same batch again changes nothing.

        Raises:
            OSError: they are not; the batch is tried again.
        """
        ...


class FilesOutlet:
    """A file for each batch, in the folder that the run's second source watches.

    Args:
        state: the system's folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    def serves(self, run_id: str) -> bool:
        """The job has made its folder."""
        return folders.back(self._state, run_id).is_dir()

    def write(self, run_id: str, batch_id: str, lines: Sequence[bytes]) -> None:
        """See `RetryOutlet`. The name is the batch's, and given to a complete file: who comes second finds it there."""
        folder = folders.back(self._state, run_id)
        final = folder / f"{batch_id}.jsonl"
        if final.exists():
            return
        unfinished = folder / f".{batch_id}.{uuid.uuid4().hex}.tmp"
        try:
            with unfinished.open("xb") as file:
                file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(unfinished, final)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync(folder)


def _sync(folder: Path) -> None:
    """The file's name on disk as well."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
