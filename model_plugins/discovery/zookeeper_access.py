"""Who may write our nodes: digest credentials, the ACLs made of them, and folders that are closed to strangers.

ZooKeeper's digest scheme has no accounts: any `user:password` is taken, and what it may touch is decided by the ACL of
each node. So wrong credentials show themselves when a call is refused, or when nothing that is found is ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.security import ACL, Id, Permissions, make_digest_acl_credential

from materials.errors import UsageError

log = structlog.get_logger(__name__)

ENVIRONMENT = "SOSIE_ZOOKEEPER_AUTH_FILE"
_WRITING = Permissions.WRITE | Permissions.CREATE | Permissions.DELETE | Permissions.ADMIN
_WORLD = Id("world", "anyone")


class AccessRefused(UsageError):
    """ZooKeeper does not let us, or nothing that is there is ours: the credentials are missing or wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, f"check the `user:password` in the file that {ENVIRONMENT} names")


class _Secret(str):
    """A string that no log shows: kazoo's debug log prints its requests with `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Access:
    """How we come before ZooKeeper. Without credentials nodes are open to all, as ZooKeeper's are by default.

    Args:
        user, password: of the digest scheme; an empty user means none.
        readable: whether the world may read what we write; else only who has the same credentials.
    """

    def __init__(self, user: str = "", password: str = "", readable: bool = True) -> None:
        self.user = user
        self._auth = _Secret(f"{user}:{password}")
        self._owner = Id("digest", make_digest_acl_credential(user, password)) if user else None
        self._readable = readable

    def __repr__(self) -> str:
        return f"Access(user={self.user!r})"

    @classmethod
    def find(cls, file: Path | None, environment: Mapping[str, str], readable: bool = True) -> Access:
        """The credentials in `file`, else in the file that the environment names, else none.

        Raises:
            UsageError: the file cannot be read, or does not hold one line `user:password`.
        """
        named = environment.get(ENVIRONMENT, "")
        path = file or (Path(named) if named else None)
        if path is None:
            return cls(readable=readable)
        try:
            user, colon, password = path.read_text().strip().partition(":")
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the ZooKeeper credentials in {path} cannot be read: {error}", "name another") from error
        if not (user and colon and password) or "\n" in password:
            raise UsageError(f"{path} does not hold ZooKeeper credentials", "write one line into it: user:password")
        if mode & 0o007:
            log.warning("credentials_readable_by_all", path=str(path), remedy=f"chmod 600 {path}")
        return cls(user, password, readable)

    @property
    def auth_data(self) -> list[tuple[str, str]]:
        """What kazoo's client takes."""
        return [("digest", self._auth)] if self._owner else []

    def acl(self) -> list[ACL] | None:
        """Of a node or folder of ours: all to its owner, and reading to the world if allowed; None: open to all."""
        return self._closed(Permissions.READ if self._readable else 0)

    def shared_acl(self) -> list[ACL] | None:
        """Of the top folder: other owners may make folders of their own in it, but not take ours away."""
        return self._closed(Permissions.READ | Permissions.CREATE)

    def owns(self, acls: Sequence[ACL]) -> bool:
        """Whether nobody but us may write a node with these ACLs; always True without credentials."""
        if self._owner is None:
            return True
        writers = [each for each in acls if each.perms & _WRITING]
        return bool(writers) and all(each.id == self._owner for each in writers)

    def _closed(self, world: int) -> list[ACL] | None:
        if self._owner is None:
            return None
        mine = [ACL(Permissions.ALL, self._owner)]
        return [*mine, ACL(world, _WORLD)] if world else mine


OPEN = Access()


def from_environment() -> Access:
    """What `SOSIE_ZOOKEEPER_AUTH_FILE` names; open when it names nothing.

    Raises:
        UsageError: it names a file that cannot be used.
    """
    return Access.find(None, os.environ)


def close_folders(client: KazooClient, wait: Callable[[Any], Any], path: str, access: Access) -> None:
    """Make the folders down to `path`, owned by us; folders that stand open are closed. Needs credentials.

    Raises:
        AccessRefused: one belongs to somebody else.
    """
    names = [name for name in path.split("/") if name]
    for depth in range(1, len(names) + 1):
        folder = "/" + "/".join(names[:depth])
        top = depth == 1 and len(names) > 1
        _close(client, wait, folder, access, top)


def _close(client: KazooClient, wait: Callable[[Any], Any], folder: str, access: Access, top: bool) -> None:
    acl = access.shared_acl() if top else access.acl()
    try:
        wait(client.create_async(folder, acl=acl))
        return
    except NodeExistsError:
        pass
    try:
        stored, stat = wait(client.get_acls_async(folder))
    except NoNodeError:  # it went in between: the caller's next attempt makes it
        return
    strangers = Permissions.WRITE | Permissions.DELETE | Permissions.ADMIN if top else _WRITING
    loose = any(each.id == _WORLD and each.perms & strangers for each in stored)
    if loose:
        log.warning("folder_was_open_to_all", path=folder)
        wait(client.set_acls_async(folder, acl, version=stat.acl_version))
    elif not top and not access.owns(stored):
        raise AccessRefused(f"{folder} in ZooKeeper does not belong to user {access.user!r}")
