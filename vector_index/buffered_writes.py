"""A SQLite connection whose plain inserts wait, and go in with one `executemany` a table.

Statements of one transaction are many and alike; one by one, half of their cost is the call. Anything else that runs on
the connection sends what waits first, so that nobody reads around an insert, except through `peek`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any


class BufferedConnection(sqlite3.Connection):
    """Use as `sqlite3.connect(…, factory=BufferedConnection)`; by one thread at a time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: dict[str, list[tuple[Any, ...]]] = {}

    def later(self, statement: str, values: tuple[Any, ...]) -> None:
        """Insert before the next other statement, or `flush`; an error shows there. The order between tables is open:
        inserts that rely on each other must not both wait."""
        waiting = self._waiting.get(statement)
        if waiting is None:
            waiting = self._waiting[statement] = []
        waiting.append(values)

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for statement, rows in waiting.items():
                super().executemany(statement, rows)

    def drop(self) -> None:
        """Forget what waits: the transaction is rolled back."""
        self._waiting = {}

    def peek(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Read around what waits: where the caller knows that none of it can matter."""
        return super().execute(statement, values)

    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        """As always, after what waits."""
        self.flush()
        return super().execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        """As always, after what waits."""
        self.flush()
        return super().executemany(statement, rows)
