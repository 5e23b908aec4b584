"""`sosie model announce`, mounted as the command line mounts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from model_servers import KServe, ZooKeeper, wait_until

from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.instances import service_path
from model_plugins.discovery.zookeeper_access import Access

ROOT = Path(__file__).parents[3]
MOUNTED = (
    "import typer\n"
    "from materials.errors import SosieError\n"
    "from pipeline.cli import announce, output\n"
    "app = typer.Typer()\n"
    "app.callback()(lambda: None)\n"
    "app.command('announce', epilog=announce.EPILOG)(announce.announce_command)\n"
    "try:\n    app()\nexcept SosieError as error:\n    raise SystemExit(output.tell(error))\n"
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", MOUNTED, "announce", *arguments]


def test_one_model_privately_announced_drained_and_withdrawn(
    quorum: ZooKeeper, kserve: Callable[..., KServe], tmp_path: Path
) -> None:
    server = kserve("double", "triple")
    file = tmp_path / "auth"
    file.write_text("sosie:s3cret-pass")
    arguments = ["--grpc", server.address, "--http-port", "8000", "--model", "double", "--zone", "z1", "--weight", "3"]
    arguments += ["--advertise", "localhost", "--device", "a100", "--interval", "0.05", "--drain", "1", "--private"]
    environment = {**os.environ, "SOSIE_ZOOKEEPER": quorum.address, "SOSIE_ZOOKEEPER_AUTH_FILE": str(file)}
    access = Access("sosie", "s3cret-pass")
    directory = EndpointDirectory(quorum.address, ["double", "triple"], timeout=4.0, access=access)
    process = subprocess.Popen(command(*arguments), cwd=ROOT, env=environment)
    try:
        [found] = directory.wait_for("double", 20)
        assert (found.address, found.zone, found.weight, found.device) == (
            f"localhost:{server.port}",
            "z1",
            3.0,
            "a100",
        )
        assert directory.endpoints("triple") == ()
        stranger = KazooClient(quorum.address)
        stranger.start()
        with pytest.raises(NoAuthError):
            stranger.get_children(service_path("double"))
        stranger.stop()
        stranger.close()
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not directory.endpoints("double"), what="draining")
        assert process.poll() is None
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        directory.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--grpc", "h:1"], "no ZooKeeper is named"),
        (["--grpc", "h", "--zookeeper", "h:1"], "'h' is not HOST:PORT"),
        (["--grpc", "h:1", "--zookeeper", "nonsense"], "'nonsense' is not an address for zookeeper"),
        (["--grpc", "h:1", "--zookeeper", "h:1", "--private"], "--private needs credentials"),
        (["--grpc", "h:1", "--zookeeper", "h:1", "--zookeeper-auth-file", "/nowhere"], "cannot be read"),
    ],
)
def test_wrong_use(arguments: list[str], told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOSIE_")}
    done = subprocess.run(
        command(*arguments), cwd=ROOT, env=environment | {"COLUMNS": "300"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
