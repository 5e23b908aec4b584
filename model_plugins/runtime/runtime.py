"""From a medium to its features: every active plug-in's part, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from materials.errors import Permanent, Rejected, SosieError, UsageError
from materials.records import Feature, Features
from model_plugins.balancing import Balancer
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import Directory
from model_plugins.protocol import Manifest, Media, MediaKind, ModelRef, Plugin, Tensors, TextMedia
from model_plugins.runtime.active import ActivePlugin, InProcess
from model_plugins.runtime.breaker import Breaker
from model_plugins.runtime.calls import Caller, ModelCalls
from model_plugins.runtime.findings import Failure, Findings, failure_of
from model_plugins.runtime.leases import Leases
from model_plugins.runtime.observing import CallTracer, RunObserver, RunResult, SilentRuns
from model_plugins.runtime.route import Route
from model_plugins.runtime.wants import Wants

log = structlog.get_logger(__name__)


class PluginRuntime:
    """Runs the plug-ins of a job. Made, used and closed inside one event loop; its plug-ins may change at any time.

    Args:
        plugins: by name; of this distribution, so that their code runs here, and required.
        directory: who serves the models.
        in_flight: calls at a time, for each model.
        deadline: seconds for one model call, over all its attempts.
        wait: seconds that a row waits for company while a slot is free.
        balancer: of all calls; the default strategy when not given.
        client_for: route -> model client, instead of `directory` and `balancer`.
        version_of: model name -> the version that its alias names now, "" where none does.
        observer: counts; nobody when not given.
        tracer: follows each medium's model calls; nobody when not given.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        plugins: Mapping[str, Plugin],
        directory: Directory,
        in_flight: int = 3,
        deadline: float = 10.0,
        *,
        wait: float = 0.004,
        balancer: Balancer | None = None,
        client_for: Callable[[Route], Caller] | None = None,
        version_of: Callable[[str], str] = lambda _model: "",
        observer: RunObserver | None = None,
        tracer: CallTracer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer or SilentRuns()
        make = client_for or (lambda _route: ModelClient(directory, balancer))
        self._calls = ModelCalls(make, in_flight, deadline, wait, self._observer.batch_formed, tracer)
        self._version_of = version_of
        self._clock = clock
        self._active: dict[str, ActivePlugin] = {}
        self._breakers: dict[str, Breaker] = {}
        self._leases = Leases()
        for plugin in plugins.values():
            self.take_up(InProcess(plugin))

    @property
    def active(self) -> Mapping[str, ActivePlugin]:
        """By name."""
        return self._active

    def take_up(self, plugin: ActivePlugin) -> None:
        """Run it from the next medium on; one of the same name ends with the last medium that it has begun."""
        name = plugin.manifest.name
        replaced = self._active.get(name)
        self._active = {**self._active, name: plugin}
        self._breakers[name] = Breaker(self._clock)
        if replaced is not None and replaced is not plugin:
            self._leases.retire(replaced)

    def drop(self, name: str) -> None:
        """Give it no further medium. Harmless when it is not there."""
        plugin = self._active.get(name)
        self._active = {key: each for key, each in self._active.items() if key != name}
        self._breakers.pop(name, None)
        if plugin is not None:
            self._leases.retire(plugin)

    def wants(self, kind: MediaKind) -> Wants:
        """What `run` will need of a medium of that kind."""
        hosted = [each for each in self._active.values() if each.hosted and _takes(each, kind)]
        pixels = [each for each in hosted if not each.decodes_on_server]
        return Wants(
            media=bool(pixels),
            encoded=len(pixels) < len(hosted),
            min_side=max((each.manifest.min_side for each in pixels), default=0),
            hears=any(each.manifest.hears for each in pixels),
        )

    def keys(self, kind: MediaKind) -> set[str]:
        """`plugin@version` of all that is run on media of that kind now, fusing plug-ins left out."""
        return {self._resolve(each.manifest)[0] for each in self._active.values() if _takes(each, kind)}

    async def run(
        self,
        kind: MediaKind,
        tensors: Mapping[str, Tensors | None],
        *,
        failures: Mapping[str, Failure] | None = None,
        media: Media | None = None,
        encoded: bytes | None = None,
        text: str = "",
        known: Features | None = None,
        found: Features | None = None,
    ) -> Findings:
        """All features of one medium.

        Args:
            kind: of the medium.
            tensors: plug-in name -> what its `prepare` returned in the decode child; None or absent: nothing.
            failures: plug-ins that failed there.
            media: the decoded medium, for plug-ins that prepare it by themselves; of a text always.
            encoded: the file, for those that send it as it is.
            text: of the material, for plug-ins that fuse.
            known: features of the same bytes, computed before: their plug-ins are not run.
            found: gets the features, also when this raises: what the other plug-ins found is then not lost.

        Raises:
            UsageError: tensors of a plug-in that is not active.
            Rejected: a required plug-in refuses the medium.
            Permanent: a required plug-in failed for good.
            Retryable: no model server of a required plug-in could answer in time.
        """
        unknown = tensors.keys() - self._active.keys()
        if unknown:
            raise UsageError(
                f"plug-in {min(unknown)!r} is not part of this job", f"its plug-ins: {', '.join(self._active)}"
            )
        given = _Given(tensors, failures or {}, media, encoded)
        # one picture of what is active, for the whole medium: a version that is replaced meanwhile is not lost to it
        active = list(self._active.values())
        with self._leases.hold(active):
            return await self._run(active, kind, given, text, known, {} if found is None else found)

    async def _run(
        self,
        active: Sequence[ActivePlugin],
        kind: MediaKind,
        given: _Given,
        text: str,
        known: Features | None,
        features: Features,
    ) -> Findings:
        at_work = [each for each in active if _takes(each, kind)]
        todo: list[_Step] = []
        for each in at_work:
            key, model = self._resolve(each.manifest)
            if known and key in known:
                features[key] = known[key]
            else:
                todo.append(_Step(key, each, model))
        found = await self._run_all(todo, given)
        missing = _sort_out([(step.key, step.plugin) for step in todo], found, features)
        await self._fuse([each for each in active if each.manifest.media == kind], features, missing, text)
        return Findings(features, missing)

    async def close(self) -> None:
        """End calls in flight, close the channels and the plug-ins."""
        await self._calls.close()
        self.close_plugins()

    def close_plugins(self) -> None:
        """End the children of hosted plug-ins; from any thread, also when the loop runs no longer."""
        for each in self._active.values():
            each.close()
        self._leases.close()

    def _resolve(self, manifest: Manifest) -> tuple[str, ModelRef | None]:
        """The feature's key, and the model in the version that makes it."""
        model = manifest.model
        if model is None:
            return manifest.key, None
        version = model.version or self._version_of(model.name)
        if version and version != model.version:
            model = msgspec.structs.replace(model, version=version)
        return feature_key(manifest, version), model

    async def _run_all(self, todo: Sequence[_Step], given: _Given) -> list[_Found]:
        """In the order of `todo`. A task costs as much as a small plug-in, so those that never wait get none."""
        waiting = [step for step in todo if step.model is not None or step.plugin.hosted]
        others = {id(step): await _caught(self._one(step, given)) for step in todo if step not in waiting}
        if len(waiting) == 1:
            others[id(waiting[0])] = await _caught(self._one(waiting[0], given))
        elif waiting:
            # nothing is cancelled when one fails: what the others found is needed, or their calls are on the way anyway
            answers = await asyncio.gather(*[_caught(self._one(step, given)) for step in waiting])
            others |= {id(step): answer for step, answer in zip(waiting, answers, strict=True)}
        return [others[id(step)] for step in todo]

    async def _one(self, step: _Step, given: _Given) -> Feature | None:
        began = self._clock()
        result: RunResult = "failed"
        try:
            feature = await self._guarded(step, given)
            result = "nothing" if feature is None else "ok"
            return feature
        except Rejected:
            result = "rejected"
            raise
        finally:
            self._observer.plugin_ran(step.key, self._clock() - began, result)

    async def _guarded(self, step: _Step, given: _Given) -> Feature | None:
        """An optional plug-in behind its breaker."""
        plugin, model = step.plugin, step.model
        if plugin.use.need == "required":
            return await self._feature(plugin, model, given)
        breaker = self._breakers.get(plugin.manifest.name) or Breaker(self._clock)  # none: it was dropped meanwhile
        if not breaker.allow():
            raise _Suspended(f"{plugin.manifest.key} has failed again and again, and is left out for a while")
        try:
            feature = await self._feature(plugin, model, given)
        except Rejected:
            breaker.abandoned()
            raise
        except Exception as error:
            breaker.failed()
            log.warning("optional_plugin_failed", plugin=plugin.manifest.key, error=failure_of(error).reason)
            raise
        except BaseException:
            breaker.abandoned()
            raise
        breaker.succeeded()
        return feature

    async def _feature(self, plugin: ActivePlugin, model: ModelRef | None, given: _Given) -> Feature | None:
        tensors = await given.tensors_for(plugin)
        if tensors is None:
            return None
        if model is not None:
            use = plugin.use
            async with asyncio.timeout(None if use.need == "required" else use.patience_s):
                tensors = await self._calls.outputs(plugin.manifest.name, model, tensors, use.route)
        return await plugin.interpret(tensors)

    async def _fuse(
        self, at_work: Sequence[ActivePlugin], features: Features, missing: dict[str, str], text: str
    ) -> None:
        fusing = [each for each in at_work if each.needs is not None]
        if not fusing:
            return
        by_name = {key.partition("@")[0]: feature for key, feature in features.items()}
        found = []
        for each in fusing:
            theirs = {name: by_name[name] for name in each.needs or () if name in by_name}
            found.append(await _caught(each.fuse(theirs, text)))
        missing |= _sort_out([(each.manifest.key, each) for each in fusing], found, features)


class _Step(NamedTuple):
    """A plug-in to run: the key of its feature, and its model in the version that makes it."""

    key: str
    plugin: ActivePlugin
    model: ModelRef | None


_Found = Feature | Exception | None


async def _caught(step: Awaitable[Feature | None]) -> _Found:
    try:
        return await step
    except Exception as error:
        return error


def _sort_out(asked: Sequence[tuple[str, ActivePlugin]], found: Sequence[_Found], features: Features) -> dict[str, str]:
    """Features into `features`, reasons of optional plug-ins into the answer.

    Raises:
        Exception: of required plug-ins; a permanent one decides, since trying again would not help the record.
    """
    missing: dict[str, str] = {}
    fatal: list[Exception] = []
    for (key, plugin), each in zip(asked, found, strict=True):
        if isinstance(each, SosieError):
            each.plugin = key
        if isinstance(each, Feature):
            features[key] = each
        elif each is not None and plugin.use.need == "required":
            fatal.append(each)
        elif each is not None:
            missing[key] = failure_of(each).reason
    if fatal:
        raise next((each for each in fatal if isinstance(each, Permanent)), fatal[0])
    return missing


class _Suspended(Permanent):
    """An optional plug-in is not asked just now."""

    code = "plugin_suspended"


class _Given:
    """One medium, in whatever form a plug-in takes it."""

    def __init__(
        self,
        tensors: Mapping[str, Tensors | None],
        failures: Mapping[str, Failure],
        media: Media | None,
        encoded: bytes | None,
    ) -> None:
        self._tensors = tensors
        self._failures = failures
        self._media = media
        self._encoded = encoded

    async def tensors_for(self, plugin: ActivePlugin) -> Tensors | None:
        """What its `prepare` gave, or gives now.

        Raises:
            Rejected, Permanent: it refused the medium, or failed.
        """
        name = plugin.manifest.name
        failure = self._failures.get(name)
        if failure is not None:
            if failure.bad_input:
                raise Rejected(failure.code, failure.sentence)
            raise Permanent(f"plug-in {plugin.manifest.key} failed in prepare: {failure.sentence}")
        if name in self._tensors:
            return self._tensors[name]
        if not plugin.hosted and not isinstance(self._media, TextMedia):
            return None  # the decode child asked it, and it had nothing to say
        if plugin.decodes_on_server:
            return None if self._encoded is None else await plugin.prepare_encoded(self._encoded)
        return None if self._media is None else await plugin.prepare(self._media)


def feature_key(manifest: Manifest, model_version: str) -> str:
    """`name@version`, and `name@version.M` once another than the model's first version makes the feature: features of
    two model versions are never mixed up, and vectors of two never compared."""
    return manifest.key if model_version in ("", "1") else f"{manifest.key}.{model_version}"


def _takes(plugin: ActivePlugin, kind: MediaKind) -> bool:
    return plugin.manifest.media == kind and plugin.needs is None
