"""milvus-lite as a server that can be killed and comes back on its port with its data.

Its packages are wheels of pure Python whose dependencies the project has already. Where the environment lacks them
they are unpacked, pinned by hash, into the user's cache, outside every environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from index_items import free_port
from model_servers import wait_until

from deploy.model_server.environment import find_uv
from materials.errors import SosieError
from vector_index.recall_engines.milvus import MilvusEngine, MilvusSettings

REQUIREMENTS = Path(__file__).with_name("requirements-milvus.txt")
START_SECONDS = 60


def packages() -> Path | None:
    """Make pymilvus and milvus-lite importable here; the folder that a child needs on its PYTHONPATH, if any.

    Skips the test, and says so on standard error, only where the packages cannot be had on this machine.
    """
    if importlib.util.find_spec("pymilvus") and importlib.util.find_spec("milvus_lite"):
        added = [entry for entry in sys.path if entry.startswith(str(_cache()))]
        return Path(added[0]) if added else None
    folder = _cache() / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _install(folder)
    sys.path.append(str(folder))  # last: whatever the project has itself comes first
    importlib.invalidate_caches()
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sosie" / "milvus"


def _install(folder: Path) -> None:
    unfinished = folder.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = ["pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(unfinished)]
    problems = []
    for trust in (["--system-certs"], []):
        done = subprocess.run(
            [find_uv(), *trust, *command, "--python", sys.executable, "-r", str(REQUIREMENTS)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            unfinished.rename(folder)
            return
        problems.append(done.stderr.strip())
    message = f"milvus-lite CANNOT BE INSTALLED HERE, its contract is not tested: {problems[0]}"
    sys.__stderr__.write(f"\n{message}\n")
    pytest.skip(message)


class LocalMilvus:
    """A milvus-lite server in a folder and on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._packages = packages()
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
        if self._packages is not None:
            environment["PYTHONPATH"] = str(self._packages)
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
