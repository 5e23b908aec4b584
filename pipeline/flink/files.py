"""Files in and out, exactly once: the file source's positions and the sink's commits belong to the same checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyflink.common import Encoder
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import BucketAssigner, FileSink, OutputFileConfig, RollingPolicy
from pyflink.table import StreamTableEnvironment

from pipeline.spec import FilesSource

_POLL = "200ms"


def lines(env: StreamExecutionEnvironment, source: FilesSource) -> DataStream:
    """Rows (line: bytes, path: str), in order within a file.

    The table connector is used for its metadata: the DataStream file source does not tell a line's file, and relative
    media paths need it. Lines are raw bytes, so that invalid UTF-8 can be refused instead of being replaced.
    """
    options = {"connector": "filesystem", "path": source.path.as_uri(), "format": "raw"}
    if source.path.is_dir():
        options["source.path.regex-pattern"] = r".*[.]jsonl"
    if source.watch:
        options["source.monitor-interval"] = _POLL
    quoted = ", ".join(f"'{key}' = '{_sql(value)}'" for key, value in options.items())
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE sosie_lines (line BYTES, `file.path` STRING NOT NULL METADATA) WITH ({quoted})"
    )
    return tables.to_data_stream(tables.from_path("sosie_lines"))


def sink(folder: Path, run_id: str) -> FileSink:
    """JSON lines in `folder/RUN-*.jsonl`; a file gets its name when its checkpoint completes."""
    folder.mkdir(parents=True, exist_ok=True)
    names = OutputFileConfig.builder().with_part_prefix(run_id).with_part_suffix(".jsonl").build()
    encoder: Any = Encoder.simple_string_encoder("UTF-8")
    return (
        FileSink.for_row_format(folder.as_uri(), encoder)
        .with_bucket_assigner(BucketAssigner.base_path_bucket_assigner())
        .with_output_file_config(names)
        .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
        .build()
    )


def _sql(value: str) -> str:
    return value.replace("'", "''")
