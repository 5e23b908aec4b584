"""What a worker follows in ZooKeeper while its job runs: servers, aliases of models, registered plug-ins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.zookeeper_access import Access
from model_plugins.library.live_aliases import AliasWatcher
from model_plugins.library.store import open_store
from model_plugins.registry.acceptance import Acceptance
from model_plugins.registry.allow import AllowFile
from model_plugins.registry.live import LiveRegistry
from model_plugins.registry.wheel_cache import WheelCache
from model_plugins.registry.wheel_store import LibraryWheels
from pipeline.library_location import library_location
from pipeline.spec import Registered

_FIRST_ANSWER_S = 5.0


class WorkerWatches:
    """Three ZooKeeper sessions; each goes on with what it knows while ZooKeeper is away.

    Args:
        zookeeper: `host:port[,host:port…]`.
        state: the system's folder, as this machine sees it: snapshots, allow list, unpacked wheels.
        registered: which registered plug-ins are wanted.
    """

    def __init__(self, zookeeper: str, state: Path, registered: Registered) -> None:
        access = Access.find(None, os.environ)
        snapshots = state / "run" / "snapshots"
        self.endpoints = EndpointDirectory(zookeeper, snapshots=snapshots / "endpoints", access=access)
        self.aliases = AliasWatcher(zookeeper, snapshot=snapshots / "aliases.json", access=access)
        self.plugins: LiveRegistry | None = None
        if registered.take != "none":
            acceptance = Acceptance(
                AllowFile.find(state, os.environ),
                LibraryWheels(open_store(library_location(state))),
                WheelCache(state / "cache" / "wheels"),
            )
            names: Literal["*"] | tuple[str, ...] = "*" if registered.take == "all" else registered.take
            self.plugins = LiveRegistry(zookeeper, acceptance, names, access=access)

    def model_version(self, model: str) -> str:
        """The version that the alias `production` names now; "" where nobody has said."""
        return self.aliases.version(model) or ""

    def wait_first_answer(self) -> None:
        """Block until aliases and registry are known, for a few seconds at most: the first material must neither go to
        a version that is not in production any more, nor go on without a plug-in that was registered before."""
        self.aliases.wait_seen(_FIRST_ANSWER_S)
        if self.plugins is not None:
            self.plugins.wait_until(lambda snapshot: snapshot.known, _FIRST_ANSWER_S)

    def close(self) -> None:
        """End the sessions."""
        if self.plugins is not None:
            self.plugins.close()
        self.aliases.close()
        self.endpoints.close()
