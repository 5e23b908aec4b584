"""milvus-lite as a server that can be killed and comes back on its port with its data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from index_items import free_port
from model_servers import wait_until

from materials.errors import SosieError
from vector_index.recall_engines.milvus import MilvusEngine, MilvusSettings

START_SECONDS = 60


class LocalMilvus:
    """A milvus-lite server in a folder and on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def engine(self, seconds: float = 5.0) -> MilvusEngine:
        """A client of it."""
        return MilvusEngine(MilvusSettings(self.uri, seconds=seconds))

    def start(self) -> LocalMilvus:
        """Start, and wait until it answers."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self._folder / "data")]
        with (self._folder / "milvus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        wait_until(self._serving, START_SECONDS, "milvus-lite serves")
        return self

    def kill(self) -> None:
        """As `kill -9`."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _serving(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "milvus.log").read_text()[-2000:]
        engine = self.engine(seconds=2)
        try:
            engine.exists("anything")
        except SosieError:  # not listening yet
            return False
        finally:
            engine.close()
        return True
