"""Whether a worker takes a registered plug-in: the one place where that is decided."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import msgspec
import structlog

from materials.errors import SosieError
from model_plugins.hosting.limits import PluginSource
from model_plugins.protocol import MediaKind
from model_plugins.registry.allow import AllowFile, AllowList
from model_plugins.registry.entries import PluginEntry
from model_plugins.registry.installed import GROUP
from model_plugins.registry.wheel_cache import WheelCache
from model_plugins.registry.wheel_store import WheelMissing, WheelStore
from model_plugins.registry.wheels import missing_requirements, read_wheel

log = structlog.get_logger(__name__)


class LivePlugin(msgspec.Struct, frozen=True):
    """A registered plug-in that this worker accepts, as its entry describes it and with its code on this disk."""

    name: str
    version: int
    media: MediaKind
    source: PluginSource


class Refused(Exception):
    """It is not taken. `reason`: for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Acceptance:
    """Allow list, wheel, hash, dependencies; in this order, so that nothing is fetched that is not allowed.

    Args:
        allow: this machine's allow list.
        store: of wheels.
        cache: where wheels are unpacked.
        installed: the names of installed plug-ins, which no registered one may take.
    """

    def __init__(
        self,
        allow: AllowFile,
        store: WheelStore,
        cache: WheelCache,
        installed: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        self._allow = allow
        self._store = store
        self._cache = cache
        self._installed = installed or installed_names

    def allow_list(self) -> AllowList:
        """As it stands now."""
        return self._allow.current()

    def judge(self, entry: PluginEntry) -> LivePlugin:
        """The plug-in, fetched and unpacked. Blocks on store and disk; runs none of the plug-in's code.

        Raises:
            Refused: with the reason. It may be another one a moment later.
        """
        if not entry.enabled:
            raise Refused("it is disabled")
        if entry.name in self._installed():
            raise Refused(f"{entry.name!r} is the name of an installed plug-in")
        refusal = self._allow.current().refusal(entry)
        if refusal:
            raise Refused(refusal)
        try:
            tree = self._cache.tree(entry.sha256, self._store.get)
            # the wheel's own word, and not the entry's: an entry's target may name any module of this machine
            info = read_wheel((tree.parent / "wheel.whl").read_bytes(), entry.wheel)
        except WheelMissing as error:
            raise Refused(str(error)) from error
        except SosieError as error:
            raise Refused(f"its wheel cannot be had: {error}") from error
        except (OSError, ValueError) as error:
            raise Refused(f"its wheel cannot be unpacked: {error}") from error
        if info.targets.get(entry.name) != entry.target:
            raise Refused(f"its wheel does not offer {entry.name} = {entry.target}")
        missing = missing_requirements(info.requires)
        if missing:
            raise Refused(f"it needs what is not installed here: {', '.join(missing)}")
        source = PluginSource(target=entry.target, path=str(tree), sha256=entry.sha256)
        return LivePlugin(entry.name, entry.version, entry.media, source)


def installed_names() -> frozenset[str]:
    """Of all installed plug-ins."""
    return frozenset(point.name for point in entry_points(group=GROUP))
