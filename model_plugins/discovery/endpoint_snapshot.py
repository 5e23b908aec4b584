"""The last known endpoints on disk, for a start while ZooKeeper is away. One file for each model in a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec
import structlog

from model_plugins.discovery.instances import Endpoint

log = structlog.get_logger(__name__)

_FORMAT = 1


class _Snapshot(msgspec.Struct, kw_only=True):
    format: int
    zookeeper: str
    model: str
    written: float
    endpoints: dict[str, Endpoint]


class EndpointSnapshots:
    """Reads and replaces the files. Several processes may share a folder: the last one to write is right.

    A file that cannot be read or written is logged and passed over: it is a help, and never a reason to stop.

    Args:
        folder: made when it is missing.
        zookeeper: where the endpoints came from; files of another ZooKeeper are not used.
    """

    def __init__(self, folder: Path, zookeeper: str) -> None:
        self._folder = folder
        self._zookeeper = zookeeper

    def path(self, model: str) -> Path:
        """The file of a model."""
        return self._folder / f"{quote(model, safe='')}.json"

    def load(self, model: str, now: float) -> dict[str, Endpoint]:
        """Instance id -> endpoint as saved; empty when there is nothing of use. `now`: epoch seconds."""
        path = self.path(model)
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=_Snapshot)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("endpoint_snapshot_unusable", path=str(path), error=str(error))
            return {}
        if saved.format != _FORMAT or saved.zookeeper != self._zookeeper or saved.model != model:
            log.warning("endpoint_snapshot_of_another", path=str(path), zookeeper=saved.zookeeper, format=saved.format)
            return {}
        age = max(0.0, now - saved.written)
        log.info("endpoints_from_snapshot", model=model, endpoints=len(saved.endpoints), age_s=round(age))
        return saved.endpoints

    def save(self, model: str, endpoints: Mapping[str, Endpoint], now: float) -> None:
        """Replace the file in one step: a reader sees the old one or the new one, whole."""
        snapshot = _Snapshot(
            format=_FORMAT, zookeeper=self._zookeeper, model=model, written=now, endpoints=dict(endpoints)
        )
        path = self.path(model)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(msgspec.json.encode(snapshot))
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            log.warning("endpoint_snapshot_not_written", path=str(path), error=str(error))
