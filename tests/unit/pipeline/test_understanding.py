"""The way of one material. The edges (index, Redis, decoder, models) are handed in, and misbehave on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materials.errors import Overloaded, Permanent, Rejected, Retryable
from materials.records import AssignItem, Assignment, Feature, Features, Material, Outcome
from model_plugins.protocol import TextMedia
from pipeline.envelope import Envelope
from pipeline.media.pool import Prepared
from pipeline.spec import Retry
from pipeline.understanding import Understanding, media_kind

FEATURE = Feature.of("vector", np.ones(4, np.float32))


class Edges:
    """The four edges; `failures` are raised first, by the step's name."""

    def __init__(self, **failures: list[Exception]) -> None:
        self.failures = failures
        self.assigned: list[AssignItem] = []
        self.published: list[tuple[Outcome, dict[str, Features]]] = []
        self.prepared: list[tuple[str, str]] = []

    def _maybe_fail(self, step: str) -> None:
        if self.failures.get(step):
            raise self.failures[step].pop(0)

    async def prepare(self, uri: str, base: Path, kind: str) -> Prepared:
        self.prepared.append((uri, kind))
        self._maybe_fail("prepare")
        return Prepared(
            sha256=uri.encode().ljust(32, b"0"), tensors={"image-embedding": {}}, width=1, height=1, duration=0.0
        )

    async def run(self, prepared: dict[str, Any]) -> Features:
        self._maybe_fail("run")
        return {f"{name}@1": FEATURE for name in prepared}

    async def assign_one(self, item: AssignItem) -> Assignment:
        self._maybe_fail("assign")
        self.assigned.append(item)
        outcome = "deleted" if item.op == "delete" else "unique"
        return Assignment(material_id=item.material_id, kind=item.kind, outcome=outcome, content_id="feed-x")

    async def publish(self, outcome: Outcome, features: dict[str, Features]) -> None:
        self._maybe_fail("publish")
        self.published.append((outcome, features))


class WordCount:
    """A text plug-in small enough to see through."""

    def prepare(self, media: TextMedia) -> dict[str, Any] | None:
        return {"n": np.array([len(media.text)])} if media.text else None


def understand(edges: Edges, envelope: Envelope, attempts: int = 3) -> Outcome:
    any_edges: Any = edges
    understanding = Understanding(
        policy="feed",
        text_plugins={"words": WordCount()},  # type: ignore[dict-item]
        media=any_edges,
        runtime=any_edges,
        index=any_edges,
        projection=any_edges,
        retry=Retry(attempts=attempts, base_s=0.001, max_s=0.001),
        now=lambda: 101.5,
        jitter=lambda: 0.5,
    )
    return asyncio.run(understanding.understand(envelope))


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
    assert edges.published == [(outcome, {"A": {"image-embedding@1": FEATURE}})]
    assert outcome.features["image-embedding@1"]["redis"] == "sosie:feat:A"


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
