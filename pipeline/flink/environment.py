"""Flink environments: the mini-cluster in a child JVM of this process, or a session cluster by its REST address."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from deploy import java
from deploy.flink_configuration import quiet_about_environments
from deploy.jars import maven
from materials.errors import UsageError
from pipeline.job_settings import Restart
from pipeline.spec import JobSpec

_JVM = "-Xms128m -Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true"

# Measured (FACTS of the trials, repeated in docs/benchmarks.md): a bundle of 20 ms cuts p50 from 1.8 s to 0.15 s.
_COMMON = {
    "python.fn-execution.bundle.time": "20",
    # Flushed with each record: at hundreds a second that costs less than a dozen threads that flush every few ms.
    "execution.buffer-timeout.interval": "0 ms",
    "pipeline.object-reuse": "true",
    # A barrier stands behind what waits in front of an operator: about a second's work, however slow the models are.
    "taskmanager.network.memory.buffer-debloat.enabled": "true",
    # The most that a job may ever be rescaled to; state is kept in this many groups, so it must not change.
    "pipeline.max-parallelism": "256",
    # The mini-cluster's own REST endpoint; a session cluster's address is given apart from this.
    "rest.port": "0",
    "rest.bind-port": "0",
    "rest.bind-address": "127.0.0.1",
}


def settings_of(spec: JobSpec, checkpoints: Path, restore: Path | None = None) -> dict[str, str]:
    """Flat Flink settings of a job.

    Args:
        checkpoints: the job's storage folder.
        restore: a savepoint, or a retained checkpoint (`…/chk-7`), to go on from; state of operators that the graph no
            longer has is left behind.
    """
    settings = _COMMON | _python() | spec.restart.settings()
    settings["python.fn-execution.bundle.time"] = str(spec.threads.gather_ms)
    if spec.mode == "streaming":  # a batch job has no checkpoints: it starts again from its beginning
        settings |= spec.checkpoints.settings() | spec.state_backend.settings()
        settings["execution.checkpointing.dir"] = checkpoints.as_uri()
    if restore is not None:
        settings["execution.state-recovery.path"] = restore.as_uri()
        settings["execution.state-recovery.ignore-unclaimed-state"] = "true"
        settings["execution.state-recovery.claim-mode"] = "NO_CLAIM"
    return settings


def _python() -> dict[str, str]:
    return {"python.executable": sys.executable, "python.client.executable": sys.executable}


def _configuration(settings: Mapping[str, str]) -> Configuration:
    configuration = Configuration()
    for key, value in settings.items():
        configuration.set_string(key, value)
    return configuration


def prepare_gateway(log: Path) -> None:
    """Point pyflink at our own Java and log folder; call it before the first environment of a process is made."""
    log.mkdir(parents=True, exist_ok=True)
    logging = log / "log4j.properties"
    logging.write_text(quiet_about_environments((java.flink_home() / "conf" / "log4j-cli.properties").read_text()))
    for name in [name for name in os.environ if name.startswith(("FLINK_", "HADOOP_", "YARN_"))]:
        del os.environ[name]
    # The one variable by which pyflink's launcher takes more into its class path; `pipeline.jars` drops flink-python.
    os.environ["HADOOP_CLASSPATH"] = os.pathsep.join(map(str, maven.present("connector")))
    os.environ |= {
        "JAVA_HOME": str(java.java_home()),
        "JVM_ARGS": _JVM,
        "FLINK_LOG_DIR": str(log),
        "LOG4J_PROPERTIES": str(logging),
        "FLINK_IDENT_STRING": "sosie",
    }


def mini_cluster(job: JobSpec | Literal["batch"], checkpoints: Path) -> StreamExecutionEnvironment:
    """An environment whose job runs here; Python functions run in this very process.

    Args:
        job: the spec, or `batch` for a batch job of one's own, which has no checkpoints.
    """
    own = _COMMON | _python() | Restart().settings()
    settings = own if isinstance(job, str) else settings_of(job, checkpoints)
    return StreamExecutionEnvironment.get_execution_environment(_configuration(settings))


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


def session_cluster(
    url: str, spec: JobSpec, checkpoints: Path, restore: Path | None = None
) -> StreamExecutionEnvironment:
    """An environment whose job runs on the cluster at `url` (http://host:port, its REST address), from `restore` on."""
    host, port = check_cluster(url)
    gateway = get_gateway()
    no_jars = gateway.new_array(gateway.jvm.java.lang.String, 0)
    configuration = _configuration(settings_of(spec, checkpoints, restore))._j_configuration
    remote = gateway.jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    return StreamExecutionEnvironment(remote.createRemoteEnvironment(host, port, configuration, no_jars))
