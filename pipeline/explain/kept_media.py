"""The media of materials as the media store kept them: pictures, and sampled frames of videos."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from materials.errors import Permanent, Rejected
from materials.records import Kind
from model_plugins.protocol import ImageMedia, VideoMedia
from model_plugins.runtime.wants import Wants
from pipeline.feature_reader import FeatureReader
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool
from pipeline.media.store import MediaStore
from pipeline.projection import MEDIA

log = structlog.get_logger(__name__)


class Kept(msgspec.Struct, frozen=True):
    """Media by material id; and why those that were asked for and are not there are not."""

    media: dict[str, ImageMedia | VideoMedia]
    missing: dict[str, str]


def kept_media(state: Path, redis_url: str, wanted: Sequence[tuple[str, Kind]]) -> Kept:
    """Look media up by what Redis says of their files, and decode them in a child.

    Args:
        state: the system's folder.
        wanted: (material id, its kind).

    Raises:
        Retryable: Redis does not answer.
    """
    store = MediaStore(state / "media")
    with FeatureReader(redis_url) as reader:
        stamps = reader.get([name for name, _ in wanted], [MEDIA])
    missing: dict[str, str] = {}
    paths: dict[str, tuple[Path, Literal["image", "video"]]] = {}
    for name, kind in wanted:
        stamp = stamps.get(name, {}).get(MEDIA)
        path = None if stamp is None else store.find(stamp.data)
        if stamp is None:
            missing[name] = f"no picture of {name}: its features are no longer in Redis, which name its file"
        elif path is None:
            missing[name] = f"no picture of {name}: the media store does not have it (any more)"
        else:
            paths[name] = path, "video" if kind == "video" else "image"
    return asyncio.run(_decoded(state, paths, missing)) if paths else Kept({}, missing)


async def _decoded(
    state: Path, paths: dict[str, tuple[Path, Literal["image", "video"]]], missing: dict[str, str]
) -> Kept:
    pool = MediaPool([], MediaAccess(roots=(state / "media",), hosts=()), MediaLimits(), size=1)
    media: dict[str, ImageMedia | VideoMedia] = {}
    try:
        for name, (path, kind) in paths.items():
            try:
                prepared = await pool.prepare(str(path), path.parent, kind, Wants(media=True))
            except (Rejected, Permanent) as error:
                log.warning("kept medium unusable", path=str(path), error=str(error))
                missing[name] = f"no picture of {name}: what was kept of it cannot be decoded"
                continue
            if prepared.media is not None:
                media[name] = prepared.media
    finally:
        pool.close()
    return Kept(media, missing)
