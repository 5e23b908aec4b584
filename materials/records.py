"""The records that travel between the rooms. Frozen, without behaviour beyond their own shape."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Kind = Literal["image", "video", "post"]
KINDS: tuple[Kind, ...] = ("image", "video", "post")
OutcomeKind = Literal["unique", "duplicate", "rejected", "dead", "deleted"]
OUTCOMES: tuple[OutcomeKind, ...] = ("unique", "duplicate", "rejected", "dead", "deleted")
Relation = Literal["same", "related", "part_of", "contains", "overlaps"]
Segment = tuple[float, float, float, float]
"""(q0, q1, r0, r1): seconds in the query and in the reference."""


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be understood. `created_at` is in epoch seconds; `extra` keeps keys that we do not know."""

    material_id: str
    kind: Kind
    text: str = ""
    media: tuple[str, ...] = ()
    created_at: float | None = None
    author_id: str = ""
    biz: str = ""
    op: Literal["upsert", "delete"] = "upsert"
    revision: int = 0
    extra: dict[str, Any] = {}


class Feature(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One array that a plug-in computed. `data` is little-endian, C order.

    This is, field by field, the msgpack value of `plugin@version` in the Redis hash `sosie:feat:{material_id}`.
    """

    schema: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, schema: str, array: NDArray[Any]) -> Feature:
        """Pack an array; the dtype is kept, the byte order becomes little-endian."""
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        return cls(schema=schema, dtype=little.dtype.name, shape=tuple(little.shape), data=little.tobytes())

    def array(self) -> NDArray[Any]:
        """The array, read-only, without a copy.

        Raises:
            ValueError: `data` does not fit `shape` and `dtype`.
        """
        return np.frombuffer(self.data, dtype=np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)


Features = dict[str, Feature]
"""By `plugin@version`, e.g. `image-embedding@1`."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A material that was compared with the query.

    `score` is the calibrated probability that the two share content, comparable across materials of a kind;
    `recall_score` what recall said (cosine, -1..1).
    """

    material_id: str
    score: float
    relation: Relation = "same"
    recall_score: float = 0.0
    ranker: str = ""
    content_id: str = ""
    segments: tuple[Segment, ...] = ()


class AssignItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One material with its stored evidence, as the index takes it. A post carries its media as `parts`.

    `fingerprint`: 16 bytes of blake2b over the text and the sha256 of each medium: the same id and revision with
    another fingerprint is refused as `conflicting_material`. `text` is raw: rankers normalise.
    """

    material_id: str
    kind: Kind
    policy: str
    fingerprint: bytes
    revision: int = 0
    features: Features = {}
    text: str = ""
    parts: tuple[AssignItem, ...] = ()
    biz: str = ""
    created_at: float | None = None
    op: Literal["upsert", "delete"] = "upsert"


class Assignment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the index decided for one material; a replay returns the stored one with `replayed` set.

    `candidates`: up to 10, best first, also those below the threshold.
    """

    material_id: str
    kind: Kind
    outcome: OutcomeKind
    content_id: str = ""
    revision: int = 0
    matched: Candidate | None = None
    candidates: tuple[Candidate, ...] = ()
    parts: tuple[Assignment, ...] = ()
    replayed: bool = False
    reason: str = ""
    """Only with outcome `rejected`: `code: sentence`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The one terminal record of an input line, as written to `SINK/results/*.jsonl`."""

    material_id: str
    revision: int
    kind: str | None
    outcome: OutcomeKind
    content_id: str | None = None
    matched: dict[str, Any] | None = None
    parts: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    features: dict[str, Any] = {}
    reason: str | None = None
    attempts: int = 1
    latency_ms: float = 0.0
    trace_id: str = ""
