"""A record that takes long holds back no result of the records beside it: a host that does not answer, on Kafka."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from kafka_broker import Broker, by_key
from photos import photo
from scenes import write_jpeg
from sosie_system import COMMAND, System

pytestmark = pytest.mark.stack
NEIGHBOURS = 6


@contextmanager
def silent_host(answer: threading.Event) -> Iterator[str]:
    """A host that takes requests and says nothing until `answer` is set; then that it has no such file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.wait(60)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        answer.set()
        server.shutdown()
        server.server_close()


def test_a_silent_host_holds_back_no_result_of_its_neighbours(system: System, broker: Broker, tmp_path: Path) -> None:
    names = [f"k8-{number}" for number in range(NEIGHBOURS)]
    for number, name in enumerate(names):
        write_jpeg(tmp_path / f"{name}.jpg", photo("coffee")[number:, number:])
    answer = threading.Event()
    with silent_host(answer) as host:
        spec = {
            "name": "k8",
            "source": {"kind": "kafka", "bootstrap": broker.address, "topic": "k8", "base": str(tmp_path)},
            "sink": {"kind": "kafka", "bootstrap": broker.address, "topic": "k8-results"},
            "plugins": ["image-embedding"],
            "media": {"hosts": [host], "networks": ["127.0.0.1/32"]},
            "limits": {"fetch_timeout_s": 60.0},
            "threads": {"gather_ms": 1000},  # one partition, one bundle: the silent host's record is in it
        }
        path = tmp_path / "k8.yaml"
        path.write_text(yaml.safe_dump(spec))
        assert broker.topics("k8", partitions=1) == ["k8"]
        system.ask("topics", "create", path)
        media = {"k8-slow": f"http://{host}/a.jpg"} | {name: f"{name}.jpg" for name in names}
        lines = {name: {"material_id": name, "kind": "image", "media": [uri]} for name, uri in media.items()}
        broker.send("k8", [(name, json.dumps(line).encode(), {}) for name, line in lines.items()])
        command = [*COMMAND, "run", str(path), "--state", str(system.state), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            try:
                early = by_key(broker.read(["k8-results"], NEIGHBOURS, seconds=40.0))
                answer.set()
                late = by_key(broker.read(["k8-results"], NEIGHBOURS + 1, seconds=40.0))
            finally:
                job.send_signal(signal.SIGINT)
                _, err = job.communicate(timeout=90)
    assert set(early) == set(names), err
    assert json.loads(late["k8-slow"].value)["reason"].startswith("missing_file")
