"""One medium, from its name to the tensors of the plug-ins that take it; runs inside the decode child."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import av
from numpy.typing import NDArray

from materials.errors import Permanent
from model_plugins.protocol import DecodesOnServer, ImageMedia, Plugin, VideoMedia
from model_plugins.runtime.findings import Failure, failure_of
from model_plugins.runtime.wants import NOTHING, Wants
from pipeline.media.complaints import Complaints
from pipeline.media.image import decode_image, open_image
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.medium import Prepared, Stage
from pipeline.media.resolve import LocalFile, read_local, resolve
from pipeline.media.shown import shown
from pipeline.media.store import MediaStore
from pipeline.media.video import decode_video

_log = logging.getLogger(__name__)


class Decoder:
    """Reads, decodes once, and runs every plug-in that takes that kind of medium.

    Args:
        plugins: by name.
        access: where media may come from.
        limits: what one may cost.
        store: keeps what was decoded.
        complaints: standard error, where the process lets us have it.
    """

    def __init__(
        self,
        plugins: Mapping[str, Plugin],
        access: MediaAccess,
        limits: MediaLimits,
        store: MediaStore | None = None,
        complaints: Complaints | None = None,
    ) -> None:
        self._complaints = complaints
        self._store = store
        self._access = access
        self._limits = limits
        self._plugins = {
            kind: {name: plugin for name, plugin in plugins.items() if plugin.manifest.media == kind}
            for kind in ("image", "video")
        }
        self._min_side = max((plugin.manifest.min_side for plugin in self._plugins["image"].values()), default=0)
        self._hears = any(plugin.manifest.hears for plugin in self._plugins["video"].values())

    def prepare(
        self,
        uri: str,
        base: Path,
        kind: Literal["image", "video"],
        fetched: str = "",
        wants: Wants = NOTHING,
    ) -> Prepared:
        """See `Prepared`.

        Args:
            uri: as it stands in the record.
            base: folder of the input file.
            kind: which of the plug-ins are asked.
            fetched: a file with the content of `uri`, a URL.
            wants: what others need of the medium.

        Raises:
            Rejected: the medium may not be read or cannot be decoded.
        """
        began = time.time_ns()
        data = read_local(self._file(uri, base, fetched), uri, self._limits)
        digest = hashlib.sha256(data).digest()
        stages: list[Stage] = [("decode.read", began, moment := time.time_ns())]
        plugins = self._plugins[kind]
        media: ImageMedia | VideoMedia | None
        if kind == "video":
            media = decode_video(data, uri, self._limits, hears=self._hears or wants.hears)
        elif wants.media or not plugins or any(not isinstance(p, DecodesOnServer) for p in plugins.values()):
            side = max(self._min_side, wants.min_side)
            media = decode_image(data, uri, self._limits, side, self._complaints)
        else:  # nobody needs pixels
            media = None
            width, height = open_image(data, uri, self._limits).size
        stages.append(("decode.pixels", moment, moment := time.time_ns()))
        tensors: dict[str, dict[str, NDArray[Any]]] = {}
        failures: dict[str, Failure] = {}
        for name, plugin in plugins.items():
            try:
                arrays = plugin.prepare_encoded(data) if isinstance(plugin, DecodesOnServer) else plugin.prepare(media)
            except MemoryError:
                raise
            except Exception as error:  # someone else's code: whatever it raises, it is this plug-in's affair alone
                failures[name] = failure_of(error)
            else:
                if arrays is not None:
                    tensors[name] = arrays
            stages.append((f"prepare {name}", moment, moment := time.time_ns()))
        if media is not None:
            self._keep(digest, data, media)
            width, height = media.width, media.height
            stages.append(("decode.keep", moment, time.time_ns()))
        return Prepared(
            sha256=digest,
            tensors=tensors,
            width=width,
            height=height,
            duration=media.duration if isinstance(media, VideoMedia) else 0.0,
            failures=failures,
            media=media if wants.media else None,
            encoded=data if wants.encoded else None,
            stages=tuple(stages),
        )

    def _keep(self, digest: bytes, data: bytes, media: ImageMedia | VideoMedia) -> None:
        if self._store is None:
            return
        try:
            self._store.keep(digest, data, media)
        except (OSError, av.error.FFmpegError) as error:  # a picture less to look at is no reason to lose a record
            _log.warning("a medium is not kept: %s", error)

    def _file(self, uri: str, base: Path, fetched: str) -> LocalFile:
        if fetched:
            return LocalFile(fetched, (str(Path(fetched).parent),))
        file = resolve(uri, base, self._access)
        if isinstance(file, LocalFile):
            return file
        raise Permanent(f"{shown(uri)} was not fetched before it was to be decoded")
