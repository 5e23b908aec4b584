"""Where an input line came from: a file and its folder, or a Kafka topic, partition and offset."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pipeline.kafka.settings import KafkaSource
from pipeline.lines import LinePositions
from pipeline.spec import FilesSource

NOWHERE = "/nonexistent"
"""The folder of relative media paths where the source has none: nothing lies in it."""


class Origin(NamedTuple):
    """Of one line. `source`, `partition`, `offset` as in `Envelope`; `base`: the folder of its relative media paths;
    `key`: of the Kafka record; `traceparent`: its header (W3C trace context), "" where it has none."""

    source: str
    partition: int
    offset: int
    base: str
    key: str = ""
    traceparent: str = ""


class Origins(Protocol):
    """Reads the rows of a source."""

    def read(self, row: Any) -> tuple[bytes, Origin] | None:
        """The line and where it came from; None for what is no record."""
        ...

    def where(self, line: bytes, origin: Origin, row: Any) -> str:
        """The place of a refused line, for its id and its reason."""
        ...


class FileOrigins:
    """Rows (line, path).

    Args:
        source: the spec's.
        is_bad: whether a line is refused.
    """

    def __init__(self, source: FilesSource, is_bad: Callable[[bytes], bool]) -> None:
        self._positions = LinePositions(source.path, is_bad)
        self._folder_and_name = lru_cache(maxsize=64)(self._split)

    def read(self, row: Any) -> tuple[bytes, Origin] | None:
        """Blank lines are not records."""
        line = bytes(row[0])
        if not line.strip():
            return None
        base, name = self._folder_and_name(str(row[1]))
        return line, Origin(name, 0, -1, base)

    def where(self, line: bytes, origin: Origin, row: Any) -> str:  # noqa: ARG002
        """`<file>:<line>`."""
        return self._positions.where(str(row[1]), line)

    def _split(self, path: str) -> tuple[str, str]:
        return str(Path(path).parent), self._positions.relative(path)


class KafkaOrigins:
    """Rows (value, topic, partition, offset, traceparent, key).

    Every offset is a record, also a blank one and one without a value: whoever counts offsets must find an outcome.

    Args:
        source: the spec's.
    """

    def __init__(self, source: KafkaSource) -> None:
        self._base = source.base or NOWHERE

    def read(self, row: Any) -> tuple[bytes, Origin] | None:
        """Never None."""
        value, topic, partition, offset, traceparent, key = (row[i] for i in range(6))
        origin = Origin(str(topic), int(partition), int(offset), self._base, _text(key), _text(traceparent))
        return bytes(value or b""), origin

    def where(self, line: bytes, origin: Origin, row: Any) -> str:  # noqa: ARG002
        """`<topic>-<partition>:<offset>`."""
        return f"{origin.source}-{origin.partition}:{origin.offset}"


def origins_of(source: FilesSource | KafkaSource, is_bad: Callable[[bytes], bool]) -> Origins:
    """The reader that fits a source."""
    return KafkaOrigins(source) if isinstance(source, KafkaSource) else FileOrigins(source, is_bad)


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", errors="replace") if value is not None else ""
