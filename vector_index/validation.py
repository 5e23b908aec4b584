"""What the index refuses before anything is decided: by call (the caller's mistake) or by item (the material's)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import isfinite

import numpy as np

from materials.errors import UsageError
from materials.records import AssignItem, Feature
from vector_index.policies import Policy, policy_named
from vector_index.spaces.factory import SEARCHED

MAX_ID = 256
MAX_ITEMS = 1024
MAX_PARTS = 64
FINGERPRINT_BYTES = 16
MAX_REVISION = 2**62
MAX_FEATURES = 64
MAX_TEXT = 1 << 20
MAX_BIZ = 4096
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}@[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NORM_TOLERANCE = 0.05
"""Squared length of a unit vector may be off by this much: float16 transport and int8 heads stay well within."""


def check_call(items: Iterable[AssignItem], policies: Mapping[str, Policy]) -> None:
    """Ids, policies, parts, fingerprints.

    Raises:
        UsageError: the call is malformed; nothing of it is done.
    """
    count = 0
    for item in items:
        count += 1 + len(item.parts)
        policy_named(item.policy, policies)
        _check_id(item.material_id)
        if "/" in item.material_id:
            raise UsageError(f"{item.material_id}: `/` is for the parts of posts", "send a part inside its post")
        if len(item.fingerprint) != FINGERPRINT_BYTES:
            raise UsageError(
                f"{item.material_id}: a fingerprint has {FINGERPRINT_BYTES} bytes, not {len(item.fingerprint)}"
            )
        if not 0 <= item.revision <= MAX_REVISION:
            raise UsageError(f"{item.material_id}: revision {item.revision} is out of range")
        _check_content(item)
        if item.parts and item.kind != "post":
            raise UsageError(f"{item.material_id}: only a post has parts, not a material of kind {item.kind}")
        if len(item.parts) > MAX_PARTS:
            raise UsageError(f"{item.material_id}: {len(item.parts)} parts", f"at most {MAX_PARTS}")
        for part in item.parts:
            _check_part(item, part)
    if count > MAX_ITEMS:
        raise UsageError(f"{count} items and parts in one call", f"at most {MAX_ITEMS}")


def _check_id(material_id: str) -> None:
    if not 1 <= len(material_id) <= MAX_ID:
        raise UsageError(f"a material id of {len(material_id)} characters", f"1 to {MAX_ID}")


def _check_content(item: AssignItem) -> None:
    """What is the same for items and parts."""
    if len(item.features) > MAX_FEATURES:
        raise UsageError(f"{item.material_id}: {len(item.features)} features", f"at most {MAX_FEATURES}")
    for key in item.features:
        if not _is_key(key):
            raise UsageError(f"{item.material_id}: {key[:100]!r} is no key of a feature", "name it PLUGIN@VERSION")
    if len(item.text) > MAX_TEXT:
        raise UsageError(f"{item.material_id}: a text of {len(item.text)} characters", f"at most {MAX_TEXT}")
    if len(item.biz) > MAX_BIZ:
        raise UsageError(f"{item.material_id}: a biz of {len(item.biz)} characters", f"at most {MAX_BIZ}")
    if item.created_at is not None and not isfinite(item.created_at):
        raise UsageError(f"{item.material_id}: created_at is {item.created_at}", "epoch seconds")


@lru_cache(maxsize=1024)
def _is_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None


def _check_part(item: AssignItem, part: AssignItem) -> None:
    _check_id(part.material_id)
    if not part.material_id.startswith(f"{item.material_id}/"):
        raise UsageError(f"{part.material_id} is no part of {item.material_id}", f"name it {item.material_id}/0, …")
    _check_content(part)
    if part.kind == "post" or part.parts:
        raise UsageError(f"{part.material_id}: a part is an image or a video")
    if sum(other.material_id == part.material_id for other in item.parts) > 1:
        raise UsageError(f"{part.material_id} is there twice in one post")


def feature_problem(feature: Feature, space: tuple[str, int] | None) -> str:
    """Why a feature is unusable, "" if it is sound. `space`: its space's schema and dimensions, None for a new one."""
    if any(size < 0 for size in feature.shape):
        return f"its shape is {list(feature.shape)}"
    try:
        array = feature.array()
    except (ValueError, TypeError) as error:
        return f"its bytes do not fit {feature.dtype}{list(feature.shape)} ({error})"
    schema, dim = space if space is not None else (feature.schema, 0)
    if feature.schema != schema:
        return f"its schema is {feature.schema!r} and its space holds {schema!r}"
    if schema == "vector":
        if array.dtype != np.float32 or array.ndim != 1 or not len(array):
            return f"a vector is float32 [d], not {feature.dtype}{list(feature.shape)}"
        if dim and len(array) != dim:
            return f"it has {len(array)} dimensions and its space has {dim}"
        # also false for NaN, so that no separate look for those is needed
        return "" if abs(float(array @ array) - 1.0) <= NORM_TOLERANCE else "its length is not 1"
    if schema == "timed-vectors":
        if array.dtype != np.float32 or array.ndim != 2 or array.shape[1] < 2 or not len(array):
            return f"timed vectors are float32 [n, 1 + d] with n > 0, not {feature.dtype}{list(feature.shape)}"
        if dim and array.shape[1] - 1 != dim:
            return f"it has {array.shape[1] - 1} dimensions and its space has {dim}"
        lengths = (array[:, 1:] ** 2).sum(axis=1)
        sound = bool((abs(lengths - 1.0) <= NORM_TOLERANCE).all()) and bool(np.isfinite(array[:, 0]).all())
        return "" if sound else "the length of a frame's vector is not 1, or its time is no number"
    if schema == "keypoints" and (array.dtype != np.uint8 or array.ndim != 2):
        return f"keypoints are uint8 [n, bytes], not {feature.dtype}{list(feature.shape)}"
    return ""


def item_problem(item: AssignItem, spaces: Mapping[str, tuple[str, int]]) -> str:
    """`invalid_feature: …` for the first feature of the item or its parts that is unusable, "" if all are sound."""
    for one in (item, *item.parts):
        for key, feature in one.features.items():
            problem = feature_problem(feature, spaces.get(key))
            if problem:
                return f"invalid_feature: {key} of {one.material_id}: {problem}"
    return ""


def new_spaces(item: AssignItem, spaces: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Key -> (schema, dimensions; 0 where vectors have none fixed) of sound features that have no space so far.

    The first of a key decides: check the item against the answer too.
    """
    found: dict[str, tuple[str, int]] = {}
    for one in (item, *item.parts):
        for key, feature in one.features.items():
            if key not in spaces and feature.schema in SEARCHED:
                dim = {"vector": feature.shape[0], "timed-vectors": feature.shape[-1] - 1}.get(feature.schema, 0)
                found.setdefault(key, (feature.schema, dim))
    return found
