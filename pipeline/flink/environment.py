"""Flink environments: the mini-cluster in a child JVM of this process, or a session cluster by its REST address."""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from deploy import java
from deploy.jars import maven
from materials.errors import UsageError

_JVM = "-Xms128m -Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true"

# Measured (FACTS of the trials, repeated in docs/benchmarks.md): a bundle of 20 ms cuts p50 from 1.8 s to 0.15 s.
_COMMON = {
    "python.fn-execution.bundle.time": "20",
    "python.fn-execution.bundle.size": "1000",
    "execution.buffer-timeout.interval": "5 ms",
    # A checkpoint ends each Python bundle, and so waits for all calls under way: every second would idle the models.
    "execution.checkpointing.interval": "5 s",
    "execution.checkpointing.min-pause": "1 s",
    "pipeline.object-reuse": "true",
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "500 ms",
    "restart-strategy.exponential-delay.max-backoff": "10 s",
    "restart-strategy.exponential-delay.attempts-before-reset-backoff": "8",
    # The mini-cluster's own REST endpoint; a session cluster's address is given apart from this.
    "rest.port": "0",
    "rest.bind-port": "0",
    "rest.bind-address": "127.0.0.1",
}


def _configuration(mode: str, checkpoints: Path) -> Configuration:
    configuration = Configuration()
    settings = dict(_COMMON)
    settings["python.executable"] = settings["python.client.executable"] = sys.executable
    settings["execution.checkpointing.dir"] = checkpoints.as_uri()
    if mode == "batch":  # a batch job has no checkpoints: it starts again from its beginning
        settings = {k: v for k, v in settings.items() if not k.startswith("execution.checkpointing")}
    for key, value in settings.items():
        configuration.set_string(key, value)
    return configuration


def prepare_gateway(log: Path) -> None:
    """Point pyflink at our own Java and log folder; call it before the first environment of a process is made."""
    log.mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("FLINK_", "HADOOP_", "YARN_"))]:
        del os.environ[name]
    # The one variable by which pyflink's launcher takes more into its class path; `pipeline.jars` drops flink-python.
    os.environ["HADOOP_CLASSPATH"] = os.pathsep.join(map(str, maven.present("connector")))
    os.environ |= {
        "JAVA_HOME": str(java.java_home()),
        "JVM_ARGS": _JVM,
        "FLINK_LOG_DIR": str(log),
        "FLINK_IDENT_STRING": "sosie",
    }


def mini_cluster(mode: str, checkpoints: Path) -> StreamExecutionEnvironment:
    """An environment whose job runs here; Python functions run in this very process."""
    return StreamExecutionEnvironment.get_execution_environment(_configuration(mode, checkpoints))


def check_cluster(url: str) -> tuple[str, int]:
    """Host and port of a cluster's REST address that answers.

    Raises:
        UsageError: not such an address, or nobody answers there; found in a second, where Flink's client would try on.
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("", "http") or host is None or port is None:
        raise UsageError(f"{url!r} is not a cluster address", "give its REST address, e.g. http://127.0.0.1:8081")
    connection = http.client.HTTPConnection(host, port, timeout=5.0)
    try:
        connection.request("GET", "/overview")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(f"no Flink cluster answers at {url}: {error}", "start one: sosie cluster up") from None
    finally:
        connection.close()
    if status != 200:
        raise UsageError(f"{url} answers {status}: is that a Flink REST address?", "sosie cluster up prints one")
    return host, port


def session_cluster(url: str, mode: str, checkpoints: Path) -> StreamExecutionEnvironment:
    """An environment whose job runs on the cluster at `url` (http://host:port, its REST address)."""
    host, port = check_cluster(url)
    gateway = get_gateway()
    no_jars = gateway.new_array(gateway.jvm.java.lang.String, 0)
    configuration = _configuration(mode, checkpoints)._j_configuration
    remote = gateway.jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    return StreamExecutionEnvironment(remote.createRemoteEnvironment(host, port, configuration, no_jars))
