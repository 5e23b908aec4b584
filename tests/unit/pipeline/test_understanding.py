"""The way of one material. The edges (index, Redis, decoder, models) are handed in, and misbehave on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from materials.errors import Overloaded, Permanent, Rejected, Retryable
from materials.records import AssignItem, Assignment, Feature, Features, Material, Outcome
from model_plugins.runtime.findings import Findings
from model_plugins.runtime.wants import NOTHING, Wants
from pipeline.envelope import Envelope
from pipeline.media.medium import Prepared
from pipeline.spec import Retry
from pipeline.understanding import Compute, Understanding, media_kind

FEATURE = Feature.of("vector", np.ones(4, np.float32))
TAGS = Feature.of("tags", np.ones(4, np.uint8))


class Edges:
    """The four edges; `failures` are raised first, by the step's name."""

    def __init__(self, **failures: list[Exception]) -> None:
        self.failures = failures
        self.assigned: list[AssignItem] = []
        self.published: list[tuple[Outcome, dict[str, Features]]] = []
        self.prepared: list[tuple[str, str]] = []
        self.missing: dict[str, str] = {}
        self.stamps: Mapping[str, bytes] = {}

    def _maybe_fail(self, step: str) -> None:
        if self.failures.get(step):
            raise self.failures[step].pop(0)

    def wants(self, kind: str) -> Wants:
        return NOTHING

    async def find(self, kind: str, sha256: bytes, compute: Compute) -> Findings:
        return await compute({})

    async def prepare(self, uri: str, base: Path, kind: str, wants: Wants) -> Prepared:
        self.prepared.append((uri, kind))
        self._maybe_fail("prepare")
        return Prepared(
            sha256=uri.encode().ljust(32, b"0"), tensors={"image-embedding": {}}, width=1, height=1, duration=0.0
        )

    async def run(self, kind: str, tensors: dict[str, Any], **given: Any) -> Findings:
        self._maybe_fail("run")
        if kind == "text":
            return Findings({"words@1": FEATURE} if given["media"].text else {})
        return Findings({f"{name}@1": FEATURE for name in tensors} | {"tags@1": TAGS}, self.missing)

    async def assign_one(self, item: AssignItem) -> Assignment:
        self._maybe_fail("assign")
        self.assigned.append(item)
        outcome = "deleted" if item.op == "delete" else "unique"
        return Assignment(material_id=item.material_id, kind=item.kind, outcome=outcome, content_id="feed-x")

    async def publish(self, outcome: Outcome, features: dict[str, Features], stamps: Mapping[str, bytes]) -> None:
        self._maybe_fail("publish")
        self.stamps = stamps
        self.published.append((outcome, features))


def understanding_of(edges: Edges, attempts: int = 3, deadline_s: float = 300.0, in_hand: int = 64) -> Understanding:
    any_edges: Any = edges
    return Understanding(
        policy="feed",
        evidence=lambda name: name != "unnamed",
        media=any_edges,
        runtime=any_edges,
        cache=any_edges,
        index=any_edges,
        projection=any_edges,
        retry=Retry(attempts=attempts, base_s=0.001, max_s=0.001),
        now=lambda: 101.5,
        jitter=lambda: 0.5,
        deadline_s=deadline_s,
        in_hand=in_hand,
    )


def understand(edges: Edges, envelope: Envelope, attempts: int = 3) -> Outcome:
    return asyncio.run(understanding_of(edges, attempts).understand(envelope))


def envelope(**changes: Any) -> Envelope:
    material = Material(**({"material_id": "A", "kind": "image", "media": ("a.jpg",)} | changes))
    return Envelope(
        material_id="A", kind=material.kind, base="/b", line=b"raw", entered_at=100.0, trace_id="t", material=material
    )


def test_an_image_is_extracted_assigned_and_published() -> None:
    edges = Edges()
    outcome = understand(edges, envelope())
    assert (outcome.outcome, outcome.content_id, outcome.attempts, outcome.latency_ms) == (
        "unique",
        "feed-x",
        1,
        1500.0,
    )
    assert edges.assigned[0].features == {"image-embedding@1": FEATURE}
    assert edges.published == [(outcome, {"A": {"image-embedding@1": FEATURE, "tags@1": TAGS}})]
    assert edges.stamps == {"A": b"a.jpg".ljust(32, b"0")}
    assert outcome.features["image-embedding@1"]["redis"] == "sosie:feat:A"


def test_features_that_decide_nothing_stay_out_of_the_index() -> None:
    edges = Edges()
    understand(edges, envelope())
    assert list(edges.assigned[0].features) == ["image-embedding@1"], "tags are for readers, not for the index"


def test_a_missing_feature_is_marked_in_the_outcome() -> None:
    edges = Edges()
    edges.missing = {"faces@2": "plugin_hung: it took more than 2 s"}
    outcome = understand(edges, envelope())
    assert outcome.features["faces@2"] == {"missing": "plugin_hung: it took more than 2 s"}
    post = understand(edges, envelope(kind="post", media=("a.jpg",)))
    assert edges.published[-1][0] == post
    assert "faces@2" not in post.features, "it is a part's, and not the post's own"


def test_a_posts_media_become_parts_in_order() -> None:
    edges = Edges()
    understand(edges, envelope(kind="post", text="words", media=("a.jpg", "b.mp4")))
    item = edges.assigned[0]
    assert [(part.material_id, part.kind) for part in item.parts] == [("A/0", "image"), ("A/1", "video")]
    assert list(item.features) == ["words@1"]
    assert set(edges.published[0][1]) == {"A", "A/0", "A/1"}


def test_fingerprints_differ_by_text_and_by_media() -> None:
    def stamp(**changes: Any) -> bytes:
        edges = Edges()
        understand(edges, envelope(kind="post", **changes))
        return edges.assigned[0].fingerprint

    stamps = {stamp(text="x", media=()), stamp(text="y", media=()), stamp(text="x", media=("a.jpg",))}
    assert len(stamps) == 3
    assert stamp(text="x", media=()) in stamps


def test_a_delete_touches_no_medium() -> None:
    edges = Edges()
    outcome = understand(edges, envelope(op="delete"))
    assert (outcome.outcome, edges.prepared) == ("deleted", [])


def test_a_refused_line_is_published_with_its_reason() -> None:
    edges = Edges()
    refused = Envelope(
        material_id="@a:1", kind=None, base="/b", line=b"{", entered_at=100.0, trace_id="t", rejection="broken_json: x"
    )
    outcome = understand(edges, refused)
    assert (outcome.outcome, outcome.reason, outcome.kind) == ("rejected", "broken_json: x", None)
    assert edges.published[0][0] == outcome


def test_bad_media_are_rejected_at_once() -> None:
    edges = Edges(prepare=[Rejected("truncated_image", "a.jpg ends early")])
    outcome = understand(edges, envelope())
    assert (outcome.outcome, outcome.reason, outcome.attempts) == ("rejected", "truncated_image: a.jpg ends early", 1)
    assert edges.assigned == []


@pytest.mark.parametrize("step", ["prepare", "run", "assign", "publish"])
def test_what_may_pass_is_tried_again_from_where_it_stopped(step: str) -> None:
    edges = Edges(**{step: [Retryable("down"), Overloaded("full", retry_after=0.001)]})
    outcome = understand(edges, envelope())
    assert (outcome.outcome, outcome.attempts) == ("unique", 3)
    assert len(edges.assigned) == 1
    assert len(edges.prepared) == (3 if step in ("prepare", "run") else 1)


@pytest.mark.parametrize("step", ["prepare", "run", "assign", "publish"])
def test_spent_retries_end_dead_and_never_raise(step: str) -> None:
    edges = Edges(**{step: [Retryable("down")] * 9})
    outcome = understand(edges, envelope(), attempts=2)
    assert (outcome.outcome, outcome.reason, outcome.attempts) == ("dead", "retries_spent: down", 2)


def _bug() -> Exception:
    return ZeroDivisionError("a bug")


@pytest.mark.parametrize("make", [lambda: Permanent("no such model"), _bug])
def test_permanent_errors_and_bugs_cost_one_record(make: Callable[[], Exception]) -> None:
    edges = Edges(run=[make()])
    outcome = understand(edges, envelope())
    assert (outcome.outcome, outcome.attempts) == ("dead", 1)
    assert str(make()) in (outcome.reason or "")
    assert edges.published[0][0] == outcome


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("a.mp4", "video"),
        ("http://h/x.MOV?sig=a.jpg", "video"),
        ("a.jpg", "image"),
        ("noname", "image"),
        ("a.gif", "image"),
    ],
)
def test_media_kind_by_suffix(uri: str, kind: str) -> None:
    assert media_kind(uri) == kind


class StuckModels(Edges):
    """Models that answer when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()
        self.asked = 0

    async def run(self, kind: str, tensors: dict[str, Any], **given: Any) -> Findings:
        self.asked += 1
        await self.answer.wait()
        return await super().run(kind, tensors, **given)


def test_a_record_that_is_not_done_at_its_deadline_is_given_up_and_holds_nobody() -> None:
    async def main() -> tuple[Outcome, Outcome]:
        edges = StuckModels()
        understanding = understanding_of(edges, deadline_s=0.05)
        late = await understanding.understand(envelope())
        edges.answer.set()
        return late, await understanding.understand(envelope())

    late, next_one = asyncio.run(main())
    assert (late.outcome, late.attempts) == ("dead", 1)
    assert late.reason == "retries_spent: it took longer than its deadline of 0.05 s"
    assert next_one.outcome == "unique", "the late one has given back its turn"


def test_revisions_of_one_material_take_turns_and_others_do_not_wait() -> None:
    async def main() -> StuckModels:
        edges = StuckModels()
        understanding = understanding_of(edges)
        second = msgspec.structs.replace(envelope(), revision=1)
        other = msgspec.structs.replace(envelope(material_id="B"), material_id="B")
        tasks = [asyncio.create_task(understanding.understand(each)) for each in (envelope(), second, other)]
        for _ in range(20):  # as far as they come
            await asyncio.sleep(0)
        assert edges.asked == 2, "the second revision waits"
        edges.answer.set()
        await asyncio.gather(*tasks)
        return edges

    edges = asyncio.run(main())
    assert [outcome.revision for outcome, _ in edges.published if outcome.material_id == "A"] == [0, 1]


def test_no_more_media_are_in_hand_than_allowed_however_many_records_are_under_way() -> None:
    class Slow(Edges):
        in_hand = most = 0

        async def prepare(self, *args: Any, **kwargs: Any) -> Any:
            self.in_hand += 1
            self.most = max(self.most, self.in_hand)
            await asyncio.sleep(0)
            return await super().prepare(*args, **kwargs)

        async def find(self, *args: Any, **kwargs: Any) -> Any:
            try:
                await asyncio.sleep(0.001)
                return await super().find(*args, **kwargs)
            finally:
                self.in_hand -= 1

    async def all_at_once(edges: Slow) -> list[Any]:
        understanding = understanding_of(edges, in_hand=2)
        post = envelope(kind="post", media=tuple(f"{i}.jpg" for i in range(9)))
        return await asyncio.gather(understanding.understand(post), understanding.understand(envelope()))

    edges = Slow()
    ended = asyncio.run(all_at_once(edges))
    assert [each.outcome for each in ended] == ["unique", "unique"]
    assert edges.most == 2
