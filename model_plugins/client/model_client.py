"""Calls models on whichever server offers them: discovery, balancing, retries, one deadline over all attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from numpy.typing import NDArray

from materials.errors import Overloaded, Permanent, Retryable, SosieError
from model_plugins.balancing import Balancer, Guard, RetryBudget, Settings, by_name
from model_plugins.call_errors import AttemptTimedOut, ModelUnknown, ServerGone, failure_kind
from model_plugins.client.hedging import hedged
from model_plugins.client.patience import Patience
from model_plugins.client.probing import Prober
from model_plugins.discovery.instances import Directory, Endpoint
from model_plugins.observing import Attempt, CallObserver, Silent
from model_plugins.protocol import ModelRef
from model_plugins.transports import Answer, Batch, Transport, Wire, address_of, transport_to

log = structlog.get_logger(__name__)

_GRACE = 10.0
"""Seconds that calls in flight have when their server leaves the directory."""

_REDIAL = 0.25
"""Seconds between two rounds over servers that do not listen, when the directory has no news."""

_BACKOFF = 0.02
"""Seconds before servers that failed are asked a second time; doubled for each further round."""

_ATTEMPTS = 4
"""Of one call, those that found nobody listening aside."""

_REFUSALS = 8
"""Of one round: a service of a thousand servers that restarts must not be dialled a thousand times for each call."""


class _Call:
    """One call on its way through its attempts."""

    __slots__ = ("attempts", "batch", "deadline", "seen", "times_out")

    def __init__(self, batch: Batch, deadline: float) -> None:
        self.batch = batch
        self.deadline = deadline
        self.seen: set[str] = set()  # addresses that were asked
        self.attempts = 0
        self.times_out = 0


class ModelClient:
    """Belongs to one event loop, in which it must be made and closed.

    Args:
        directory: who serves what. An address `http://host:port` is called over HTTP, whatever `wire` says.
        balancer: chooses the endpoint of each attempt; `balancing.by_name()` when not given.
        patience: seconds that a call waits and dials again while no server is known or none of them listens.
        settings: of ejection, slow start and caps.
        observer: is told of each attempt, retry, hedge and ejection.
        hedging: whether a second attempt is started, within the retry budget, when one takes longer than the
            model's p95.
        wire: `http` calls the HTTP listener of each server that announces one.
        randomness: default: seeded by the system.
    """

    def __init__(
        self,
        directory: Directory,
        balancer: Balancer | None = None,
        patience: float = 5.0,
        *,
        settings: Settings | None = None,
        observer: CallObserver | None = None,
        hedging: bool = False,
        wire: Wire = "grpc",
        randomness: random.Random | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._directory = directory
        self._patience = patience
        self._observer = observer or Silent()
        self._hedging = hedging
        self._wire = wire
        self._random = randomness or random.Random()
        clock = self._loop.time
        strategy = balancer or by_name(clock=clock, randomness=self._random)
        self._guard = Guard(strategy, clock, self._random, settings, self._observer)
        self._budget = RetryBudget(clock)
        self._times = Patience()
        self._prober = Prober(self._guard, clock, self._channel)
        self._channels: dict[str, Transport] = {}
        self._lists: dict[str, tuple[Endpoint, ...]] = {}
        self._versions: dict[tuple[str, str], tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]] = {}
        self._changed = asyncio.Event()
        self._models: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._unsubscribe = directory.subscribe(self._on_change)

    async def infer(
        self, model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]], deadline: float
    ) -> dict[str, NDArray[Any]]:
        """Run `rows` rows through the model.

        Args:
            pieces: for each input the arrays that together make the batch; see `kserve.build_request`.
            deadline: in the loop's time; it holds for all attempts together.

        Returns:
            Output name -> array [rows, ...].

        Raises:
            Overloaded: every server's queue is full, or its cap of calls in flight reached until the deadline.
            Retryable: no server is known, all of them failed, or the deadline passed.
            Permanent: the model is unknown to its servers, or does not take these tensors.
        """
        self._models.add(model.name)
        self._budget.deposit()
        call = _Call(Batch(model, rows, pieces), deadline)
        patient_until = self._loop.time() + self._patience
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        return (await self._round(call)).outputs
                    except ServerGone:
                        # the whole service restarts, most likely: a moment later the record would not have to wait
                        if self._loop.time() >= patient_until:
                            raise
                        await self._news(min(self._loop.time() + _REDIAL, patient_until))
                    except Retryable as error:
                        if call.attempts >= _ATTEMPTS or not self._budget.withdraw():
                            raise
                        pause = _BACKOFF * 2.0**call.attempts * self._random.random()
                        await asyncio.sleep(max(pause, error.retry_after if isinstance(error, Overloaded) else 0.0))
        except TimeoutError as error:
            if not call.seen and self._endpoints(model):
                raise Overloaded(f"all servers of model {model.name!r} have as many calls as they may have") from error
            if not call.seen:
                raise self._nobody(model) from error
            where = ", ".join(sorted(call.seen))
            raise Retryable(f"model {model.name!r} gave no answer within the deadline; tried {where}") from error

    async def close(self) -> None:
        """Close all connections."""
        self._unsubscribe()
        await self._prober.close()
        servers = list(self._channels.values())
        self._channels.clear()
        for server in servers:
            await server.close()
        await asyncio.gather(*self._closing)

    async def _round(self, call: _Call) -> Answer:
        """Ask one server after another, each once, as far as the retry budget goes.

        Raises:
            ServerGone: nobody is known, or nobody listens any more.
            SosieError: what the last one that listened said.
        """
        model = call.batch.model
        tried: set[str] = set()
        failures: list[SosieError] = []
        failed = ""
        while endpoints := self._endpoints(model):
            # a refused connection put load on nobody: going on to the next server is no retry that could drown one
            retry = any(not isinstance(each, ServerGone) for each in failures)
            if retry and (call.attempts >= _ATTEMPTS or self._budget.tokens < 1.0):
                break
            if len(failures) >= _REFUSALS:
                break
            endpoint = self._guard.pick(endpoints, tried)
            if endpoint is None:
                if tried:
                    break
                await self._news(call.deadline)  # all are at their cap: the caller has to slow down
                continue
            if retry:
                self._budget.withdraw()
            if failures:
                self._observer.retried(model.name, failed, failure_kind(failures[-1]) or "retryable")
            tried.add(endpoint.address)
            try:
                return await self._attempt(endpoint, call, alone=len(endpoints) == 1, tried=tried)
            except SosieError as failure:
                # an unknown model may be known to the next server; bad tensors are bad everywhere
                if isinstance(failure, Permanent) and not isinstance(failure, ModelUnknown):
                    raise
                log.info("model_call_failed", model=model.name, endpoint=endpoint.address, error=str(failure))
                failures.append(failure)
                failed = endpoint.address
        if not failures:
            raise self._nobody(model)
        raise next((each for each in reversed(failures) if not isinstance(each, ServerGone)), failures[-1])

    async def _attempt(self, endpoint: Endpoint, call: _Call, alone: bool, tried: set[str]) -> Answer:
        """One attempt, and where it takes long and that is wanted, a second one beside it."""
        after = self._times.hedge_after(call.batch.model.name) if self._hedging and not alone else None
        if after is None:
            return await self._ask(endpoint, call, alone)

        def second() -> Any:
            if self._budget.tokens < 1.0:
                return None
            other = self._guard.pick(self._endpoints(call.batch.model), tried)
            if other is None:
                return None
            self._budget.withdraw()
            tried.add(other.address)
            self._observer.hedged(call.batch.model.name, endpoint.address)
            return self._ask(other, call, alone=False, hedge=True)

        return await hedged(self._ask(endpoint, call, alone), after, second)

    async def _ask(self, endpoint: Endpoint, call: _Call, alone: bool, hedge: bool = False) -> Answer:
        """Call one server; it was picked, and is `done` when this returns or raises."""
        batch = call.batch
        started = self._loop.time()
        left = call.deadline - started
        last = alone or call.attempts + 1 >= _ATTEMPTS
        seconds = left if last else self._times.seconds(endpoint, left, call.times_out)
        call.seen.add(endpoint.address)
        attempt = Attempt(batch.model.name, batch.model.version, endpoint.address, batch.rows, hedge)
        self._observer.attempt_started(attempt)
        error: BaseException | None = None
        version = ""
        try:
            answer = await self._channel(endpoint).infer(batch, seconds)
            version = answer.version
            return answer
        except BaseException as raised:
            error = raised
            if isinstance(raised, asyncio.CancelledError) and self._loop.time() >= call.deadline:
                error = AttemptTimedOut("the deadline passed")
            raise
        finally:
            spent = self._loop.time() - started
            if error is None:
                self._times.answered(endpoint, spent)
            elif isinstance(error, AttemptTimedOut):
                self._times.gave_up(endpoint, spent)
                call.times_out += 1
            call.attempts += not isinstance(error, ServerGone)
            self._guard.done(endpoint, spent, error)
            self._observer.attempt_ended(attempt, spent, failure_kind(error), version)
            self._changed.set()
            self._prober.look()

    def _channel(self, endpoint: Endpoint) -> Transport:
        found = self._channels.get(endpoint.address)
        if found is None:
            found = self._channels[endpoint.address] = transport_to(address_of(endpoint, self._wire))
        return found

    def _endpoints(self, model: ModelRef) -> tuple[Endpoint, ...]:
        """Those that may have the model's version."""
        found = self._directory.endpoints(model.name)
        if self._lists.get(model.name) is not found:
            self._lists[model.name] = found
            self._guard.keep(model.name, found)
            self._times.keep(model.name, found)
        if not model.version:
            return found
        source, chosen = self._versions.get((model.name, model.version), ((), ()))
        if source is not found:
            chosen = tuple(each for each in found if not each.versions or model.version in each.versions)
            self._versions[model.name, model.version] = (found, chosen)
        return chosen

    async def _news(self, until: float) -> None:
        """Wait until the directory changes or a call ends, `until` at most."""
        self._changed.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    def _nobody(self, model: ModelRef) -> ServerGone:
        version = f" version {model.version}" if model.version else ""
        return ServerGone(
            f"no server offers model {model.name!r}{version}: nobody is ready in {self._directory.where(model.name)}; "
            "`sosie status` shows what runs"
        )

    def _on_change(self, _model: str) -> None:
        """Called in the directory's thread."""
        try:
            self._loop.call_soon_threadsafe(self._look_again)
        except RuntimeError:  # the loop was closed before this client was
            self._unsubscribe()

    def _look_again(self) -> None:
        """Wake those that wait for a first endpoint; let go of servers that no model of ours is on any more."""
        self._changed.set()
        alive = {each.address for model in self._models for each in self._directory.endpoints(model)}
        for address in [each for each in self._channels if each not in alive]:
            closing = self._channels.pop(address).close(grace=_GRACE)  # calls in flight may end
            task = self._loop.create_task(closing)
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
