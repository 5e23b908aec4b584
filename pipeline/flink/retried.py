"""The job's second source: records that come back from the retry queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pyflink.common import Duration, WatermarkStrategy
from pyflink.datastream import DataStream, ProcessFunction, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat

from pipeline.envelope import pack, unpack_envelope
from pipeline.flink.parse import BYTES, SIDES
from reconcile.retry.entry import from_returned_line

_POLL_MS = 200


class ParseReturned(ProcessFunction):
    """A line that the pump wrote -> packed envelope, sent where `ParseLines` sends its kind."""

    def process_element(self, value: str, ctx: Any) -> Iterator[Any]:  # noqa: ARG002
        """One line."""
        began = time.time_ns()
        returned = from_returned_line(value.encode())
        envelope = unpack_envelope(returned.record)
        envelope = msgspec.structs.replace(envelope, dropped=returned.dropped, parsed=(began, time.time_ns()))
        side = SIDES.get(envelope.kind or "") if envelope.rejection is None else None
        yield (side, pack(envelope)) if side is not None else pack(envelope)


def watched(env: StreamExecutionEnvironment, folder: Path) -> DataStream:
    """Packed envelopes of files as they appear in `folder`; the source's positions belong to the checkpoints."""
    builder = FileSource.for_record_stream_format(StreamFormat.text_line_format(), folder.as_uri())
    return _parsed(env, builder.monitor_continuously(Duration.of_millis(_POLL_MS)).build())


def bounded(env: StreamExecutionEnvironment, files: Sequence[Path]) -> DataStream:
    """Packed envelopes of these files, for a batch job."""
    names = [path.as_uri() for path in files]
    return _parsed(env, FileSource.for_record_stream_format(StreamFormat.text_line_format(), *names).build())


def _parsed(env: StreamExecutionEnvironment, source: FileSource) -> DataStream:
    stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "retried").uid("retried-source")
    return stream.process(ParseReturned(), BYTES).name("returned").uid("returned")
