"""One plug-in at work in a job: its code, in this process or in a child, and how the job uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec
from numpy.typing import NDArray

from materials.errors import Permanent, SosieError
from materials.records import Feature
from model_plugins.hosting.hosted_plugin import HostedPlugin
from model_plugins.protocol import DecodesOnServer, Fuses, Manifest, Media, Plugin, Tensors
from model_plugins.runtime.route import DEFAULT, Route

Arrays = dict[str, NDArray[Any]]
Need = Literal["required", "optional"]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """How a job uses a plug-in.

    `need`: a material whose `required` plug-in fails is retried, then `dead`; one whose `optional` plug-in fails goes
    on, with the feature missing and marked. `route`: of its model calls.
    `patience_s`: seconds that a material waits for an optional plug-in, its place in the queue included.
    """

    need: Need = "required"
    route: Route = DEFAULT
    patience_s: float = 5.0


class ActivePlugin(Protocol):
    """What the runtime asks of a plug-in, wherever its code runs."""

    @property
    def manifest(self) -> Manifest:
        """Constant."""
        ...

    @property
    def use(self) -> Use:
        """How the job uses it."""
        ...

    @property
    def hosted(self) -> bool:
        """Whether it prepares media by itself, in a child of its own; else the decode child or the caller did."""
        ...

    @property
    def needs(self) -> tuple[str, ...] | None:
        """Of a plug-in that fuses: the names of those whose features it takes. None of any other."""
        ...

    @property
    def decodes_on_server(self) -> bool:
        """Whether it wants the file's bytes instead of pixels."""
        ...

    async def prepare(self, media: Media) -> Arrays | None:
        """See `Plugin.prepare`."""
        ...

    async def prepare_encoded(self, data: bytes) -> Arrays | None:
        """See `DecodesOnServer`."""
        ...

    async def interpret(self, outputs: Tensors) -> Feature:
        """See `Plugin.interpret`."""
        ...

    async def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        """See `Fuses`."""
        ...

    def close(self) -> None:
        """It is not called again."""
        ...


class InProcess:
    """A plug-in of the distribution itself: its code runs here.

    Args:
        plugin: the instance.
        use: how the job uses it.
    """

    hosted = False

    def __init__(self, plugin: Plugin, use: Use | None = None) -> None:
        self._plugin = plugin
        self.manifest = plugin.manifest
        self.use = use or Use()
        self.needs = plugin.needs if isinstance(plugin, Fuses) else None
        self.decodes_on_server = isinstance(plugin, DecodesOnServer)

    async def prepare(self, media: Media) -> Arrays | None:
        """In this thread: texts take microseconds, and pixels are prepared in the decode child."""
        try:
            return self._plugin.prepare(media)
        except SosieError:
            raise
        except Exception as error:
            raise self._fault("prepare", error) from error

    async def prepare_encoded(self, data: bytes) -> Arrays | None:
        """As `prepare`."""
        if not isinstance(self._plugin, DecodesOnServer):
            raise Permanent(f"plug-in {self.manifest.key} takes pixels, not files")
        try:
            return self._plugin.prepare_encoded(data)
        except SosieError:
            raise
        except Exception as error:
            raise self._fault("prepare_encoded", error) from error

    async def interpret(self, outputs: Tensors) -> Feature:
        """In this thread."""
        try:
            return self._plugin.interpret(outputs)
        except SosieError:
            raise
        except Exception as error:
            raise self._fault("interpret", error) from error

    async def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        """In this thread."""
        if not isinstance(self._plugin, Fuses):
            raise Permanent(f"plug-in {self.manifest.key} does not fuse")
        try:
            return self._plugin.fuse(features, text)
        except SosieError:
            raise
        except Exception as error:
            raise self._fault("fuse", error) from error

    def close(self) -> None:
        """Nothing to end."""

    def _fault(self, step: str, error: Exception) -> Permanent:
        return Permanent(f"plug-in {self.manifest.key} failed in {step}: {error!r}")


class Hosted:
    """A third-party plug-in in a child of its own, which may be killed.

    Args:
        host: its `ready` has returned.
        use: how the job uses it.
    """

    hosted = True

    def __init__(self, host: HostedPlugin, use: Use) -> None:
        self._host = host
        self.manifest = host.manifest
        self.use = use
        self.needs = host.needs
        self.decodes_on_server = host.decodes_on_server

    async def prepare(self, media: Media) -> Arrays | None:
        """In the child."""
        return await self._host.prepare(media)

    async def prepare_encoded(self, data: bytes) -> Arrays | None:
        """In the child."""
        return await self._host.prepare_encoded(data)

    async def interpret(self, outputs: Tensors) -> Feature:
        """In the child."""
        return await self._host.interpret(outputs)

    async def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        """In the child."""
        return await self._host.fuse(features, text)

    def close(self) -> None:
        """Ends the child."""
        self._host.close()
