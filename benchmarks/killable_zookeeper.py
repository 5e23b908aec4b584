"""The local stack's ZooKeeper without its supervisor, which would start it again; for benchmarks and tests."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from deploy.parts import zookeeper
from deploy.parts.part import Site, Unhealthy
from deploy.ports import choose
from deploy.processes import wait_until

START_S = 30.0


class KillableZooKeeper:
    """Flink's ZooKeeper in a folder and on a port of its own; after `kill`, `start` brings it back on that port."""

    def __init__(self, folder: Path) -> None:
        [port] = choose(1, random.Random())
        self.address = f"127.0.0.1:{port}"
        self._folder = folder
        self._log = folder / "zookeeper.log"
        self._site = Site(folder, {zookeeper.NAME: {"client": port}})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it serves.

        Raises:
            RuntimeError: it ended, or does not serve in time; with the end of its log.
        """
        launch = zookeeper.launch(self._site)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.argv, env=launch.environment, cwd=launch.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if not wait_until(lambda: self._ended() or self._serves(), START_S) or self._ended():
            raise RuntimeError(f"ZooKeeper did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Lose all nodes and sessions, as after a rebuilt ensemble. It must be dead."""
        if self._process is not None:
            raise RuntimeError("kill it first")
        shutil.rmtree(self._folder / zookeeper.NAME)

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _serves(self) -> bool:
        try:
            zookeeper.check(self._site)
        except (OSError, Unhealthy):
            return False
        return True
