"""Whether, when and as what a record goes to the retry queue, and what is done with one that comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from materials.errors import Overloaded, Permanent, Rejected, Retryable
from materials.records import Feature, Features, Material, Outcome
from model_plugins.runtime.findings import Findings
from model_plugins.runtime.wants import NOTHING
from pipeline.envelope import Envelope, unpack_envelope
from pipeline.hand_over import HandOver, Rules, rules_of
from pipeline.media.medium import Prepared
from pipeline.spec import JobSpec, Retry
from pipeline.understanding import Understanding
from reconcile.retry.backoff import RetryRule
from reconcile.retry.entry import Entry, from_line, to_line

FEATURE = Feature.of("vector", np.ones(4, np.float32))
RULES = Rules(3, RetryRule(10, 2.0, 120.0), {"image-embedding": RetryRule(4, 1.0, 1.0)})


def envelope(**changes: Any) -> Envelope:
    material = Material(material_id="A", kind="image", media=("a.jpg",), biz="shop")
    fields: dict[str, Any] = {"material_id": "A", "kind": "image", "base": "/b", "line": b"\xffraw", "trace_id": "t"}
    return Envelope(**fields | {"entered_at": 100.0, "material": material} | changes)


class Leave:
    """Refuses as often as it is told."""

    def __init__(self, *refusals: Retryable) -> None:
        self.refusals = list(refusals)
        self.asked: list[str] = []

    async def ask(self, entry_id: str, now: float) -> None:
        self.asked.append(entry_id)
        if self.refusals:
            raise self.refusals.pop(0)


def hand_over(leave: Leave, jitter: float = 0.5) -> HandOver:
    return HandOver(
        rules=RULES, leave=leave, job="j", policy="feed", run_id="j-1", now=lambda: 200.0, jitter=lambda: jitter
    )


def take(error: Retryable, attempt: int, leave: Leave | None = None) -> Entry | None:
    return asyncio.run(hand_over(leave or Leave()).take(envelope(), error, attempt))


def failed(plugin: str = "", error: Retryable | None = None) -> Retryable:
    error = error or Retryable("down")
    error.plugin = plugin
    return error


def test_an_entry_tells_what_failed_and_holds_the_record_with_its_next_attempt() -> None:
    entry = take(failed("image-tags@2"), 3)
    assert entry is not None
    assert from_line(to_line(entry)) == entry, "bytes that are no text survive the way"
    assert (entry.material_id, entry.biz, entry.plugin, entry.error, entry.message) == (
        *("A", "shop", "image-tags@2"),
        *("Retryable", "down"),
    )
    assert (entry.attempt, entry.entered_at, entry.failed_at, entry.due_at) == (3, 100.0, 200.0, 201.0)
    assert unpack_envelope(entry.record) == envelope(attempt=4)


def test_the_backoff_grows_with_the_waits_and_a_servers_wish_comes_on_top() -> None:
    due = [take(failed(), attempt) for attempt in (3, 4, 5, 9)]
    assert [entry.due_at - 200.0 for entry in due if entry] == [1.0, 2.0, 4.0, 60.0]
    wished = take(failed(error=Overloaded("full", retry_after=30.0)), 3)
    assert wished is not None
    assert wished.due_at == 231.0


def test_each_plugin_may_have_limits_of_its_own() -> None:
    assert take(failed("image-embedding@3"), 3) is not None
    assert take(failed("image-embedding@3"), 4) is None
    assert take(failed("image-tags@1"), 9) is not None
    assert take(failed(), 10) is None
    spec = JobSpec.model_validate(
        {
            "name": "j",
            "source": {"kind": "files", "path": "/in"},
            "sink": {"kind": "files", "path": "/out"},
            "plugins": ["image-pdq", {"name": "image-embedding", "retry": {"attempts": 4, "base_s": 1, "max_s": 1}}],
            "retry": {"queue": {"base_s": 2.0}},
        }
    )
    assert rules_of(spec) == RULES


def test_while_the_queue_is_full_or_away_the_record_is_kept_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    leave = Leave(*[Overloaded("full"), Retryable("away")] * 20)
    entry = take(failed(), 3, leave)
    assert entry is not None
    assert leave.asked == [entry.entry_id] * 41
    assert max(slept) <= 5.25
    assert min(slept) >= 0.25


class SoFar:
    def __init__(self, known: dict[str, Features] | None = None) -> None:
        self.kept: dict[str, Features] = dict(known or {})

    async def keep(self, found: Any) -> None:
        self.kept.update(found)

    async def known(self, name: str) -> Features:
        return self.kept.get(name, {})


class World:
    """Two plug-ins run on each medium; `failing` gives the errors of `tags`, call by call."""

    def __init__(self, *failing: Exception) -> None:
        self.failing = list(failing)
        self.called: list[str] = []
        self.published: list[Outcome] = []

    def wants(self, kind: str) -> Any:
        return NOTHING

    async def find(self, kind: str, sha256: bytes, compute: Any) -> Findings:
        found: Findings = await compute({})
        return found

    async def prepare(self, uri: str, base: Path, kind: str, wants: Any) -> Prepared:
        return Prepared(sha256=b"s" * 32, tensors={}, width=1, height=1, duration=0.0)

    async def run(self, kind: str, tensors: Any, *, known: Features, found: Features, **_: Any) -> Findings:
        found.update(known)
        for name in ("embedding@1", "tags@1"):
            if name in known:
                continue
            self.called.append(name)
            if name == "tags@1" and self.failing:
                raise (
                    failed("tags@1", self.failing.pop(0))
                    if isinstance(self.failing[0], Retryable)
                    else (self.failing.pop(0))
                )
            found[name] = FEATURE
        return Findings(found)

    async def assign_one(self, item: Any) -> Any:
        from materials.records import Assignment

        return Assignment(material_id="A", kind="image", outcome="unique", content_id="feed-x")

    async def publish(self, outcome: Outcome, features: Any, stamps: Any) -> None:
        self.published.append(outcome)


def understand(world: World, so_far: SoFar, given: Envelope, **retry: Any) -> Outcome | Entry:
    edges: Any = world
    understanding = Understanding(
        policy="feed",
        evidence=lambda _name: True,
        media=edges,
        runtime=edges,
        cache=edges,
        index=edges,
        projection=edges,
        retry=Retry(**{"attempts": 2, "base_s": 0.001, "max_s": 0.001} | retry),
        now=lambda: 200.0,
        jitter=lambda: 0.5,
        queue=hand_over(Leave()),
        so_far=so_far,
    )
    return asyncio.run(understanding.understand(given))


def test_only_the_missing_plugin_is_called_again_here_and_after_the_queue() -> None:
    so_far, world = SoFar(), World(*[Retryable("down") for _ in range(3)])
    entry = understand(world, so_far, envelope())
    assert isinstance(entry, Entry)
    assert (entry.attempt, entry.plugin, world.published) == (2, "tags@1", [])
    assert world.called == ["embedding@1", "tags@1", "tags@1"]
    elsewhere = World(Retryable("down"))  # another worker, which knows only what was kept
    again = understand(elsewhere, so_far, unpack_envelope(entry.record))
    assert isinstance(again, Entry)
    assert (again.attempt, elsewhere.called) == (3, ["tags@1"]), "one attempt a round, once it has waited"
    last = World()
    outcome = understand(last, so_far, unpack_envelope(again.record))
    assert isinstance(outcome, Outcome)
    assert (outcome.outcome, outcome.attempts, last.called) == ("unique", 4, ["tags@1"])
    assert set(outcome.features) == {"embedding@1", "tags@1"}
    assert last.published == [outcome]


def test_spent_attempts_are_dead_with_their_cause_and_their_count() -> None:
    outcome = understand(World(Retryable("down")), SoFar(), envelope(attempt=10))
    assert isinstance(outcome, Outcome)
    assert (outcome.outcome, outcome.reason, outcome.attempts) == ("dead", "retries_spent: down", 10)


@pytest.mark.parametrize(
    ("error", "expected"), [(Permanent("gone"), "dead"), (Rejected("x", "y"), "rejected"), (KeyError("bug"), "dead")]
)
def test_what_will_not_pass_never_goes_to_the_queue(error: Exception, expected: str) -> None:
    world = World(error)
    outcome = understand(world, SoFar(), envelope())
    assert isinstance(outcome, Outcome)
    assert (outcome.outcome, outcome.attempts, world.published) == (expected, 1, [outcome])


def test_a_long_wish_of_an_overloaded_server_is_waited_for_in_the_queue() -> None:
    world = World(Overloaded("full", retry_after=60.0))
    entry = understand(world, SoFar(), envelope(), attempts=3)
    assert isinstance(entry, Entry)
    assert (entry.attempt, entry.error, entry.due_at) == (1, "Overloaded", 261.0)


def test_a_dropped_record_is_dead_for_that_reason_and_calls_nothing() -> None:
    world = World()
    outcome = understand(world, SoFar(), msgspec.structs.replace(envelope(attempt=6), dropped="by anna: spam"))
    assert isinstance(outcome, Outcome)
    assert (outcome.outcome, outcome.reason, outcome.attempts) == ("dead", "dropped: by anna: spam", 5)
    assert (world.called, world.published) == ([], [outcome])
