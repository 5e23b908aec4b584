"""Which servers announce a model right now: one look at ZooKeeper, for commands that do not stay."""

from __future__ import annotations

import msgspec
import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from materials.errors import Retryable
from model_plugins.discovery.instances import BASE_PATH, Endpoint, decode, endpoint_of, service_path, usable
from model_plugins.discovery.zookeeper_access import OPEN, Access

log = structlog.get_logger(__name__)

_LOOKS = 5


class Announced:
    """Reads announcements; a context manager that holds one session.

    Args:
        hosts: ZooKeeper, `host:port[,host:port…]`.
        access: our credentials; with some, nodes that others may write are not believed.
        timeout: seconds to connect.

    Raises:
        Retryable: ZooKeeper cannot be reached.
    """

    def __init__(self, hosts: str, access: Access = OPEN, timeout: float = 10.0) -> None:
        self._hosts = hosts
        self._access = access
        self._client = KazooClient(hosts=hosts, timeout=timeout, auth_data=access.auth_data)
        try:
            self._client.start(timeout=timeout)
        except (KazooException, KazooTimeoutError) as error:
            self.close()
            raise Retryable(f"ZooKeeper at {hosts} cannot be reached: {error or type(error).__name__}") from None

    def __enter__(self) -> Announced:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._client.stop()
        self._client.close()

    def endpoints(self, model: str) -> tuple[Endpoint, ...]:
        """The servers that are ready for a model, by address.

        Raises:
            Retryable: ZooKeeper went away.
        """
        for _ in range(_LOOKS):
            found, whole = self._endpoints(service_path(model))
            if whole:
                break
        return usable(found)

    def _endpoints(self, folder: str) -> tuple[list[Endpoint], bool]:
        """What stands in a folder, and whether none of it slipped away meanwhile (it may have been announced anew)."""
        found, whole = [], True
        for name in self._children(folder):
            try:
                data, _stat = self._client.get(f"{folder}/{name}")
                if self._access.user and not self._access.owns(self._client.get_acls(f"{folder}/{name}")[0]):
                    continue
                found.append(endpoint_of(decode(data)))
            except NoNodeError:
                whole = False
            except msgspec.MsgspecError as error:
                log.warning("announcement_unreadable", path=f"{folder}/{name}", error=str(error))
            except KazooException as error:
                raise Retryable(f"ZooKeeper at {self._hosts} went away: {error}") from None
        return found, whole

    def addresses(self) -> list[str]:
        """All servers that announce any model."""
        return sorted({each.address for model in self._children(BASE_PATH) for each in self.endpoints(model)})

    def _children(self, path: str) -> list[str]:
        try:
            return list(self._client.get_children(path))
        except NoNodeError:
            return []
        except KazooException as error:
            raise Retryable(f"ZooKeeper at {self._hosts} went away: {error}") from None
