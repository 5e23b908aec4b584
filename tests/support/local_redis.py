"""A real Valkey that can be killed and come back on its port."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from model_servers import wait_until
from redis.exceptions import RedisError

from deploy.parts import valkey
from deploy.parts.part import Site
from deploy.ports import choose


class LocalRedis:
    """The server of the local stack, in a folder and on a port of its own."""

    def __init__(self, folder: Path) -> None:
        [port] = choose(1, random.Random())
        self.url = f"redis://127.0.0.1:{port}/0"
        self._folder = folder
        self._site = Site(folder, {valkey.NAME: {"client": port}})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        launch = valkey.launch(self._site)
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                launch.argv, env=launch.environment, cwd=launch.cwd, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(self._serving, 20, "Valkey serves")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _serving(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "valkey.log").read_text()[-2000:]
        try:
            valkey.check(self._site)
        except RedisError:  # not listening yet
            return False
        return True
