"""The plug-ins of one operator: those that the spec names, and registered ones that come and go while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import structlog

from materials.errors import SosieError, UsageError
from model_plugins import registry
from model_plugins.hosting.hosted_plugin import HostedPlugin
from model_plugins.hosting.limits import HostLimits, PluginSource
from model_plugins.protocol import Manifest, MediaKind
from model_plugins.registry.acceptance import LivePlugin
from model_plugins.runtime import PluginRuntime
from model_plugins.runtime.active import Hosted, InProcess, Use
from model_plugins.runtime.route import Route
from model_plugins.targets import is_built_in, target_of
from pipeline.spec import JobSpec, PluginUse, Registered

log = structlog.get_logger(__name__)

_AGAIN_S = 2.0
"""Seconds before a registered plug-in that did not load is tried again."""


class LiveSource(Protocol):
    """The registry, as seen from here."""

    def current(self) -> Mapping[str, LivePlugin]:
        """What is registered, enabled and accepted, by name. Never waits."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` in some other thread after each change; returns what ends the subscription."""
        ...


class Lineup:
    """Belongs to the operator's event loop.

    Args:
        runtime: gets and loses the plug-ins.
        spec: names the fixed ones, and says which registered ones to take.
        kinds: of media that the operator sees.
        on_change: told all manifests after each change.
    """

    def __init__(
        self,
        runtime: PluginRuntime,
        spec: JobSpec,
        kinds: Collection[MediaKind],
        on_change: Callable[[Iterable[Manifest]], None] = lambda _manifests: None,
    ) -> None:
        self._on_change = on_change
        self._runtime = runtime
        self._spec = spec
        self._kinds = frozenset(kinds)
        self._fixed: frozenset[str] = frozenset()
        self._taken: dict[str, LivePlugin] = {}
        self._live: LiveSource | None = None
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def is_fixed(self, name: str) -> bool:
        """Whether the spec names the plug-in: only such features decide on content IDs."""
        return name in self._fixed

    async def start(self) -> None:
        """Take up what the spec names; third-party code in children of its own.

        Raises:
            UsageError: one cannot be loaded, or two have the same name.
        """
        names: set[str] = set()
        for use in self._spec.plugins:
            name = await self._take_fixed(use)
            if name in names:
                raise UsageError(f"plug-in {name!r} is there twice", "leave one of the two out, or rename it")
            names.add(name)
        self._fixed = frozenset(names)
        self._tell()

    async def follow(self, live: LiveSource) -> None:
        """Take up what is registered now, and go on taking up and dropping."""
        self._live = live
        loop = asyncio.get_running_loop()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(self._changed.set)
            except RuntimeError:  # the loop was closed before the registry was
                self._unsubscribe()

        self._unsubscribe = live.subscribe(wake)
        await self._reconcile(self._wanted())
        self._following = loop.create_task(self._follow())

    def close(self) -> None:
        """Follow no longer."""
        self._unsubscribe()
        if self._following is not None and not self._following.get_loop().is_closed():
            self._following.get_loop().call_soon_threadsafe(self._following.cancel)

    async def _take_fixed(self, use: PluginUse) -> str:
        how = _use(use)
        target = target_of(use.name)
        if not target or is_built_in(target):
            [(name, plugin)] = registry.load([use.name]).items()
            if plugin.manifest.media in self._kinds:
                self._runtime.take_up(InProcess(plugin, how))
            return name
        host = HostedPlugin(PluginSource(target=target), self._limits(), name=use.name)
        try:
            manifest = await host.ready()
        except SosieError as error:
            host.close()
            raise UsageError(f"plug-in {use.name!r} cannot be used: {error}", "see its module") from error
        if manifest.media in self._kinds:
            self._runtime.take_up(Hosted(host, how))
        else:
            host.close()
        return manifest.name

    async def _follow(self) -> None:
        assert self._live is not None  # noqa: S101 - set by `follow`
        while True:
            try:
                async with asyncio.timeout(_AGAIN_S if self._behind() else None):
                    await self._changed.wait()
            except TimeoutError:
                log.debug("registered_plugins_tried_again")
            self._changed.clear()
            try:
                await self._reconcile(self._wanted())
            except Exception:  # a fault of ours must not end the task: plug-ins would silently never change again
                log.exception("plugins_not_reconciled")

    def _behind(self) -> bool:
        return self._taken != self._wanted()

    def _wanted(self) -> dict[str, LivePlugin]:
        assert self._live is not None  # noqa: S101 - set by `follow`
        take = self._spec.registered.take
        wanted = {}
        for name, live in self._live.current().items():
            if take == "none" or (take != "all" and name not in take) or live.media not in self._kinds:
                continue
            if name in self._fixed:
                log.warning("registered_plugin_is_fixed", plugin=name, remedy="the job's spec names it already")
                continue
            wanted[name] = live
        return wanted

    async def _reconcile(self, wanted: Mapping[str, LivePlugin]) -> None:
        for name in [name for name in self._taken if name not in wanted]:
            self._runtime.drop(name)
            del self._taken[name]
            log.info("plugin_dropped", plugin=name)
        for name, live in wanted.items():
            if self._taken.get(name) != live:
                await self._take(live)
        self._tell()

    def _tell(self) -> None:
        self._on_change([plugin.manifest for plugin in self._runtime.active.values()])

    async def _take(self, live: LivePlugin) -> None:
        host = HostedPlugin(live.source, self._limits(), name=live.name)
        try:
            manifest = await host.ready()
            if (manifest.name, manifest.version, manifest.media) != (live.name, live.version, live.media):
                raise UsageError(f"it calls itself {manifest.key} ({manifest.media}), and not as it is registered")
        except SosieError as error:
            host.close()
            log.warning("registered_plugin_not_taken", plugin=live.name, version=live.version, error=str(error))
            return
        except BaseException:
            host.close()
            raise
        self._runtime.take_up(Hosted(host, _use(self._spec.registered)))
        self._taken[live.name] = live
        log.info("plugin_taken", plugin=manifest.key)

    def _limits(self) -> HostLimits:
        registered = self._spec.registered
        return HostLimits(
            prepare_timeout_s=registered.prepare_s,
            interpret_timeout_s=registered.interpret_s,
            max_waiting=self._spec.threads.capacity
            * 64,  # the operator's capacity bounds them; to wait is backpressure
        )


def _use(asked: PluginUse | Registered) -> Use:
    route = Route(balancer=asked.balancer, hedging=asked.hedging, wire=asked.wire, deadline_s=asked.deadline_s)
    return Use(need=asked.need, route=route, patience_s=asked.patience_s)
