"""What PyFlink's own interface cannot say of an operator: its bundle size, and the uids inside a table source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.datastream import DataStream

_VIRTUAL = ("UnionTransformation", "PartitionTransformation", "SideOutputTransformation")
BUNDLE_SIZE = "python.fn-execution.bundle.size"


def name_source(stream: DataStream, uid: str) -> None:
    """Give a stream that came from tables, and all operators above it, a uid: `uid`, `uid-1` …

    Flink would derive their ids from the shape of the whole graph, and a savepoint would not fit a changed job.
    """
    for number, transformation in enumerate(_above(stream._j_data_stream.getTransformation())):
        if transformation.getUid() is None and _has_state(transformation):
            transformation.setUid(f"{uid}-{number}" if number else uid)


def _above(transformation: Any) -> Iterator[Any]:
    """Sources first, so that what is added below them does not rename them."""
    for above in transformation.getInputs():
        yield from _above(above)
    yield transformation


def _has_state(transformation: Any) -> bool:
    """Unions and side outputs are no operators."""
    return str(transformation.getClass().getSimpleName()) not in _VIRTUAL


def bound_bundle(stream: DataStream, size: int) -> None:
    """Let the Python operator that ends in `stream` close its bundles after `size` records.

    Only while the environment's own configuration does not name a size: that one would win.
    """
    operator = stream._j_data_stream.getTransformation().getOperatorFactory().getOperator()
    operator.getConfiguration().setString(BUNDLE_SIZE, str(size))
