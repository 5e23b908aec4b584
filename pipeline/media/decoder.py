"""One medium, from its name to the tensors of the plug-ins that take it; runs inside the decode child."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from model_plugins.protocol import ImageMedia, Plugin, VideoMedia
from pipeline.media.image import decode_image
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.resolve import LocalFile, read_local, resolve
from pipeline.media.shown import shown
from pipeline.media.video import decode_video


class Prepared(msgspec.Struct):
    """A medium as the plug-ins see it.

    `sha256`: 32 bytes, of the file. `tensors`: plug-in name -> the arrays of its `prepare`; a plug-in for which the
    medium has nothing is absent. `width`, `height`: pixels, of the file, upright. `duration`: seconds, 0 for a still.
    """

    sha256: bytes
    tensors: dict[str, dict[str, NDArray[Any]]]
    width: int
    height: int
    duration: float


class Decoder:
    """Reads, decodes once, and runs every plug-in that takes that kind of medium."""

    def __init__(self, plugins: Mapping[str, Plugin], access: MediaAccess, limits: MediaLimits) -> None:
        self._access = access
        self._limits = limits
        self._plugins = {
            kind: {name: plugin for name, plugin in plugins.items() if plugin.manifest.media == kind}
            for kind in ("image", "video")
        }
        self._min_side = max((plugin.manifest.min_side for plugin in self._plugins["image"].values()), default=0)

    def prepare(self, uri: str, base: Path, kind: Literal["image", "video"], fetched: str = "") -> Prepared:
        """See `Prepared`.

        Args:
            uri: as it stands in the record.
            base: folder of the input file.
            kind: which of the plug-ins are asked.
            fetched: a file with the content of `uri`, a URL.

        Raises:
            Rejected: the medium may not be read, cannot be decoded, or is refused by a plug-in.
            Permanent: a plug-in fails.
        """
        data = read_local(self._file(uri, base, fetched), uri, self._limits)
        digest = hashlib.sha256(data).digest()
        media: ImageMedia | VideoMedia
        if kind == "image":
            media = decode_image(data, uri, self._limits, self._min_side)
        else:
            media = decode_video(data, uri, self._limits)
        tensors: dict[str, dict[str, NDArray[Any]]] = {}
        for name, plugin in self._plugins[kind].items():
            try:
                arrays = plugin.prepare(media)
            except (Rejected, MemoryError):
                raise
            except Exception as error:  # someone else's code: whatever it raises, this is the plug-in's fault
                raise Permanent(f"plug-in {name} failed on {shown(uri)}: {type(error).__name__}: {error}") from error
            if arrays is not None:
                tensors[name] = arrays
        duration = media.duration if isinstance(media, VideoMedia) else 0.0
        return Prepared(digest, tensors, media.width, media.height, duration)

    def _file(self, uri: str, base: Path, fetched: str) -> LocalFile:
        if fetched:
            return LocalFile(fetched, (str(Path(fetched).parent),))
        file = resolve(uri, base, self._access)
        if isinstance(file, LocalFile):
            return file
        raise Permanent(f"{shown(uri)} was not fetched before it was to be decoded")
