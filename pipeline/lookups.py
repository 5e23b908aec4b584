"""Questions that people and programs ask of a running system: outcomes, content IDs, members, search."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import redis
from redis.exceptions import RedisError

from deploy import stack
from deploy.addresses import Addresses, GivenAddresses
from materials.errors import Permanent, Rejected, UsageError
from materials.records import AssignItem, Candidate, Features, Kind
from materials.redaction import without_secrets
from model_plugins import registry
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.protocol import Media, MediaKind, Plugin, TextMedia
from model_plugins.runtime import PluginRuntime
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool
from pipeline.projection import OUTCOME
from pipeline.understanding import media_kind
from vector_index.client import IndexClient
from vector_index.spaces.factory import EVIDENCE


def addresses(state: Path) -> Addresses:
    """The addresses of the stack that runs on a state folder, or those given by the environment.

    Raises:
        UsageError: no stack runs there.
    """
    found = stack.find(state)
    if found is not None:
        return found
    given = GivenAddresses.read(os.environ)
    if given.redis and given.index and given.zookeeper:
        return Addresses(zookeeper=given.zookeeper, redis=given.redis, index=given.index, triton=given.triton)
    raise UsageError(f"no stack runs on {state}", f"start it: sosie up --state {state}")


def outcomes(redis_url: str, material_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """material_id -> policy -> outcome record; an unknown material has no policies.

    Raises:
        UsageError: Redis does not answer.
    """
    connection = redis.Redis.from_url(redis_url, socket_timeout=5.0)
    pipe = connection.pipeline(transaction=False)
    for material_id in material_ids:
        pipe.hgetall(OUTCOME + material_id)
    try:
        answers: list[dict[bytes, bytes]] = pipe.execute()
    except RedisError as error:
        raise UsageError(
            f"Redis at {without_secrets(redis_url)} does not answer: {error}", "look with: sosie status"
        ) from error
    return {
        material_id: {policy.decode(): msgspec.json.decode(record) for policy, record in answer.items()}
        for material_id, answer in zip(material_ids, answers, strict=True)
    }


def canonical(index: str, content_id: str) -> str:
    """The content ID after redirects.

    Raises:
        Permanent: it was never minted.
    """
    client = IndexClient(index)
    try:
        found = client.resolve(content_id)
    finally:
        client.close()
    if found is None:
        raise Permanent(
            f"{content_id} was never minted here; `sosie content get MATERIAL_ID` shows a material's content ID"
        )
    return found


def members(index: str, content_id: str) -> list[str]:
    """Material ids with that content ID."""
    client = IndexClient(index)
    try:
        return client.members(content_id)
    finally:
        client.close()


def search_text(where: Addresses, text: str, policy: str) -> list[Candidate]:
    """Candidates for a post's text."""
    return _search(where, "post", policy, evidence_of_text(where, text), text)


def search_file(where: Addresses, path: Path, policy: str) -> list[Candidate]:
    """Candidates for an image or a video.

    Raises:
        UsageError: the file is not there or cannot be decoded.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "name an image or a video")
    kind = media_kind(path.name)
    try:
        features = asyncio.run(_file_features(where, path.resolve(), kind))
    except Rejected as error:
        raise UsageError(f"{path}: {error.sentence}", "name an image or a video that a player can show") from None
    return _search(where, kind, policy, features, "")


def evidence_of_text(where: Addresses, text: str) -> Features:
    """The features of a post's text that decide on content IDs, computed anew."""
    return asyncio.run(_features(where, _plugins("text"), "text", {}, TextMedia(text)))


def evidence_of_file(where: Addresses, path: Path) -> Features:
    """The features of an image or a video that decide on content IDs, computed anew.

    Raises:
        Rejected: it cannot be decoded.
        Retryable: no server runs a model.
    """
    return asyncio.run(_file_features(where, path.resolve(), media_kind(path.name)))


async def _file_features(where: Addresses, path: Path, kind: Kind) -> Features:
    plugins = _plugins(kind)
    pool = MediaPool(list(plugins), MediaAccess(roots=(path.parent,), hosts=()), MediaLimits(), size=1)
    try:
        medium: Literal["image", "video"] = "video" if kind == "video" else "image"
        prepared = await pool.prepare(path.name, path.parent, medium)
        return await _features(where, plugins, medium, prepared.tensors)
    finally:
        pool.close()


async def _features(
    where: Addresses, plugins: dict[str, Plugin], kind: MediaKind, tensors: Any, media: Media | None = None
) -> Features:
    directory = EndpointDirectory(where.zookeeper)
    runtime = PluginRuntime(plugins, directory)
    try:
        return (await runtime.run(kind, tensors, media=media)).features
    finally:
        await runtime.close()
        directory.close()


def _search(where: Addresses, kind: Kind, policy: str, features: Features, text: str) -> list[Candidate]:
    item = AssignItem(material_id="?", kind=kind, policy=policy, fingerprint=b"\0" * 16, features=features, text=text)
    client = IndexClient(where.index)
    try:
        return client.search(item)
    finally:
        client.close()


def _plugins(media: str) -> dict[str, Plugin]:
    """Those of the distribution whose features decide on content IDs."""
    known = [manifest for manifest in registry.available() if manifest.media == media]
    return registry.load([manifest.name for manifest in known if manifest.schema in EVIDENCE])
