"""Flink SQL in batch mode, on the mini-cluster of this process: Python writes statements, the JVM runs them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from materials.errors import Permanent
from pipeline.flink.java_errors import root_cause

_NUMBERS = itertools.count(1)
"""Of folders, which several sessions may share."""
_DEFAULTS = {
    "parallelism.default": "1",
    "taskmanager.memory.managed.size": "256m",
    "table.local-time-zone": "UTC",
    "table.optimizer.reuse-source-enabled": "true",
    "table.optimizer.reuse-sub-plan-enabled": "true",
    "rest.port": "0",
    "rest.bind-port": "0",
    "rest.bind-address": "127.0.0.1",
}


class BatchTables:
    """A session of batch SQL.

    Args:
        folder: gets the rows of queries.
        log: folder of Flink's log.
        settings: of Flink, beside the defaults.
    """

    def __init__(self, folder: Path, log: Path, settings: dict[str, str] | None = None) -> None:
        from pyflink.common import Configuration
        from pyflink.table import EnvironmentSettings, TableEnvironment

        from pipeline.flink.environment import prepare_gateway

        prepare_gateway(log)
        configuration = Configuration()
        for key, value in (_DEFAULTS | (settings or {})).items():
            configuration.set_string(key, value)
        made = EnvironmentSettings.new_instance().in_batch_mode().with_configuration(configuration).build()
        self._tables = TableEnvironment.create(made)
        self._folder = folder

    def execute(self, statement: str) -> None:
        """A statement that defines something."""
        self._tables.execute_sql(statement)

    def query(self, *statements: str) -> list[list[dict[str, Any]]]:
        """The rows of several SELECTs that run as one job, so that what they share is read once.

        Raises:
            Permanent: Flink could not run it.
        """
        return [_read(folder) for folder in self._run(statements)]

    def write(self, statement: str) -> Path:
        """The folder of JSON lines that a SELECT was written to; errors as `query`'s."""
        return self._run((statement,))[0]

    def _run(self, statements: Sequence[str]) -> list[Path]:
        together = self._tables.create_statement_set()
        folders = [self._sink(statement) for statement in statements]
        for statement, folder in zip(statements, folders, strict=True):
            together.add_insert_sql(f"INSERT INTO {folder.name} {statement}")
        try:
            together.execute().wait()
        except Exception as error:
            raise Permanent(f"the comparison's Flink job failed: {root_cause(error)}") from error
        return folders

    def _sink(self, statement: str) -> Path:
        name = f"answers_{next(_NUMBERS)}"
        folder = self._folder / name
        schema = self._tables.sql_query(statement)._j_table.getResolvedSchema()
        names, types = list(schema.getColumnNames()), list(schema.getColumnDataTypes())
        columns = ", ".join(f"`{column}` {_nullable(type_)}" for column, type_ in zip(names, types, strict=True))
        self.execute(
            f"CREATE TEMPORARY TABLE {name} ({columns}) WITH ('connector' = 'filesystem', 'format' = 'json',"
            f" 'path' = '{folder.as_uri()}')"
        )
        return folder


def _nullable(data_type: Any) -> str:
    return str(data_type.nullable().getLogicalType().asSerializableString())


def _read(folder: Path) -> list[dict[str, Any]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    files: Sequence[Path] = sorted(folder.iterdir()) if folder.is_dir() else ()
    return [decoder.decode(line) for path in files if path.is_file() for line in path.read_bytes().splitlines() if line]
