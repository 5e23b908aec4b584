"""Workers that count, as they announce themselves in ZooKeeper under `/sosie/workers/<id>`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from materials.errors import UsageError
from model_plugins.discovery.zookeeper_access import Access, from_environment

log = structlog.get_logger(__name__)

WORKERS_PATH = "/sosie/workers"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of one job in one process. `address` and `port` serve its metrics, and those of all operators of
    that process; `started` is in epoch seconds."""

    id: str
    address: str
    port: int
    job: str
    kind: str
    pid: int
    started: float = 0.0

    @property
    def path(self) -> str:
        """Its ephemeral node."""
        return f"{WORKERS_PATH}/{self.id}"

    @property
    def target(self) -> str:
        """`host:port`, as Prometheus takes it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


def workers(zookeeper: str, access: Access | None = None, timeout: float = 5.0) -> list[Worker]:
    """All that are announced now, by job, kind and id. With credentials, only those that nobody else can have written.

    Raises:
        UsageError: ZooKeeper does not answer, or refuses us.
    """
    access = from_environment() if access is None else access
    client = KazooClient(hosts=zookeeper, timeout=timeout, auth_data=access.auth_data)
    try:
        client.start(timeout=timeout)
        found = [_read(client, name, access) for name in client.get_children(WORKERS_PATH)]
    except NoNodeError:
        return []
    except KazooTimeoutError:
        raise UsageError(f"ZooKeeper at {zookeeper} does not answer within {timeout:g} s", "is it up?") from None
    except KazooException as error:
        raise UsageError(f"ZooKeeper at {zookeeper} does not let us read: {error!r}", "give credentials") from error
    finally:
        client.stop()
        client.close()
    return sorted((each for each in found if each), key=lambda each: (each.job, each.kind, each.id))


def _read(client: KazooClient, name: str, access: Access) -> Worker | None:
    path = f"{WORKERS_PATH}/{name}"
    try:
        if access.user and not access.owns(client.get_acls(path)[0]):
            log.warning("worker_of_a_stranger", path=path)
            return None
        return msgspec.json.decode(client.get(path)[0], type=Worker)
    except NoNodeError:
        return None
    except msgspec.MsgspecError as error:
        log.warning("worker_unreadable", path=path, error=str(error))
        return None


def targets(found: Iterable[Worker]) -> list[dict[str, Any]]:
    """Prometheus' file_sd (and http_sd) document: one group for each process."""
    groups: dict[str, list[Worker]] = {}
    for worker in found:
        groups.setdefault(worker.target, []).append(worker)
    return [
        {
            "targets": [target],
            "labels": {
                "sosie_job": ",".join(sorted({each.job for each in group})),
                "sosie_kind": ",".join(sorted({each.kind for each in group})),
                "sosie_pid": str(group[0].pid),
            },
        }
        for target, group in sorted(groups.items())
    ]
