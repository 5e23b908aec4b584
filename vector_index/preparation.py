"""What of a decision needs no log: checks of features, and recall. Any thread may do it, ahead of the writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from materials.records import AssignItem, Features
from vector_index.recall import BatchRecall, Spaces
from vector_index.spaces.dense import stack
from vector_index.validation import NORM_TOLERANCE, item_problem, new_spaces

RECALL_K = 30
"""Hits of each recall path: more than are ranked, the surplus is what scores are normalised against."""

Key = tuple[str, int, str, bytes]
KnownSpaces = Mapping[str, tuple[str, int]]


class Prepared(msgspec.Struct, frozen=True):
    """Items ready to be decided. `numbers`: by item or part its place in `recall`; `problems`: by item, why its
    features are unusable; `opened`: spaces that begin with these items, key -> (schema, dimensions)."""

    numbers: dict[Key, int]
    problems: dict[Key, str]
    opened: dict[str, tuple[str, int]]
    recall: BatchRecall


def key_of(item: AssignItem) -> Key:
    """What tells one decision from another."""
    return item.material_id, item.revision, item.policy, item.fingerprint


def inherit(item: AssignItem) -> AssignItem:
    """Parts carry the policy, revision, operation and business of their post."""
    if not item.parts:
        return item
    parts = tuple(
        replace(part, policy=item.policy, revision=item.revision, op=item.op, biz=item.biz, created_at=item.created_at)
        for part in item.parts
    )
    return replace(item, parts=parts)


def prepare(items: Sequence[AssignItem], known: KnownSpaces, spaces: Spaces) -> Prepared:
    """Check and search.

    Args:
        items: upserts, parts inherited; of those that are there twice the first is searched.
        known: by feature key the schema and dimensions of its space.
    """
    if _plain(items, known):
        return _prepared(items, {}, {}, spaces)
    now = dict(known)
    problems: dict[Key, str] = {}
    opened: dict[str, tuple[str, int]] = {}
    sound = []
    for item in items:
        problem = item_problem(item, now)
        fresh = {} if problem else new_spaces(item, now)
        problem = problem or (item_problem(item, {**now, **fresh}) if fresh else "")
        if problem:
            problems[key_of(item)] = problem
        else:
            now.update(fresh)
            opened.update(fresh)
            sound.append(item)
    return _prepared(sound, problems, opened, spaces)


def prepare_ahead(items: Sequence[AssignItem], known: KnownSpaces, spaces: Spaces) -> Prepared | None:
    """The same before the items' turn has come. None where that would not do: spaces that are not there yet, or whose
    rows of the meantime could not be compared in one product."""
    if not all(item.op == "upsert" for item in items):
        return None
    inherited = [inherit(item) for item in items]
    keys = {key for item in inherited for one in (item, *item.parts) for key in one.features}
    if not all(key in known and known[key][0] == "vector" for key in keys):
        return None
    prepared = prepare(inherited, known, spaces)
    return None if prepared.problems or prepared.opened else prepared


def _prepared(
    items: Sequence[AssignItem], problems: dict[Key, str], opened: dict[str, tuple[str, int]], spaces: Spaces
) -> Prepared:
    numbers: dict[Key, int] = {}
    features: list[Features] = []
    for item in items:
        for one in (*item.parts, item) if item.parts else (item,):
            key = key_of(one)
            if key not in numbers:
                numbers[key] = len(features)
                features.append(one.features)
    return Prepared(numbers, problems, opened, BatchRecall(spaces, features, RECALL_K))


def _plain(items: Sequence[AssignItem], known: KnownSpaces) -> bool:
    """One sound vector each, all of one known space: what most calls are, told by one product for all."""
    features = [feature for item in items for feature in item.features.values()]
    if not features or len(features) != len(items):
        return False
    key = next(iter(items[0].features), "")
    schema, dim = known.get(key, ("", 0))
    if schema != "vector":
        return False
    for item, feature in zip(items, features, strict=True):
        if item.parts or key not in item.features or feature.schema != "vector":
            return False
        if feature.dtype != "float32" or feature.shape != (dim,) or len(feature.data) != 4 * dim:
            return False
    vectors = stack(features)
    lengths = np.einsum("nd,nd->n", vectors, vectors)
    return bool((np.abs(lengths - 1.0) <= NORM_TOLERANCE).all())
