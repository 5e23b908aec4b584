"""A log of an older format is brought up in one piece or not at all; a newer one is refused."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from materials.errors import Permanent, Retryable
from vector_index.log_migrations import STEPS, Step, migrate
from vector_index.log_schema import FORMAT, TABLES, connect

ROOT = Path(__file__).parents[3]


def add_colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE cats ADD COLUMN colour TEXT NOT NULL DEFAULT 'black'")


def add_dogs(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE dogs (name TEXT)")
    connection.execute("INSERT INTO dogs SELECT name FROM cats")


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO dogs VALUES ('half')")
    connection.execute("INSERT INTO nowhere VALUES (1)")


def old_file(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("CREATE TABLE cats (name TEXT); INSERT INTO cats VALUES ('Tom'); PRAGMA user_version=1;")
    return connection


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_steps_are_taken_one_after_the_other(tmp_path: Path) -> None:
    connection = old_file(tmp_path / "old")
    migrate(connection, tmp_path / "old", 1, 3, {1: add_colour, 2: add_dogs})
    assert version(connection) == 3
    assert connection.execute("SELECT * FROM cats").fetchall() == [("Tom", "black")]
    assert connection.execute("SELECT * FROM dogs").fetchall() == [("Tom",)]
    connection.close()


def test_a_step_that_fails_leaves_the_old_format(tmp_path: Path) -> None:
    connection = old_file(tmp_path / "old")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, tmp_path / "old", 1, 4, {1: add_colour, 2: add_dogs, 3: fail})
    assert version(connection) == 1
    assert connection.execute("SELECT * FROM cats").fetchall() == [("Tom",)]
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("found", "steps", "words"),
    [(9, {}, "was written by a newer sosie"), (1, {2: add_dogs}, "knows no way from 1 to 2")],
)
def test_a_format_without_a_way_is_refused_with_a_remedy(
    tmp_path: Path, found: int, steps: Mapping[int, Step], words: str
) -> None:
    connection = old_file(tmp_path / "old")
    with pytest.raises(Permanent, match=rf"has format {found}, .* reads format 3.*{words}.*--state"):
        migrate(connection, tmp_path / "old", found, 3, steps)
    connection.close()


def test_a_kill_in_the_middle_of_a_step_changes_nothing(tmp_path: Path) -> None:
    old_file(tmp_path / "old").close()
    script = (
        f"import os, signal, sqlite3, sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_log_migrations import add_colour, add_dogs\n"
        "from vector_index import crash_points, log_migrations\n"
        "path = Path(sys.argv[1])\n"
        "crash_points.install(lambda point: os.kill(os.getpid(), signal.SIGKILL))\n"
        "connection = sqlite3.connect(path, isolation_level=None)\n"
        "log_migrations.migrate(connection, path, 1, 3, {1: add_colour, 2: add_dogs})\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "old")]
    died = subprocess.run(command, check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    connection = sqlite3.connect(tmp_path / "old", isolation_level=None)
    assert version(connection) == 1
    assert connection.execute("SELECT * FROM cats").fetchall() == [("Tom",)]
    migrate(connection, tmp_path / "old", 1, 3, {1: add_colour, 2: add_dogs})
    assert version(connection) == 3
    connection.close()


def test_every_format_since_the_first_leads_to_the_present_one() -> None:
    assert set(STEPS) >= set(range(1, FORMAT))


def test_tables_of_a_new_log_are_what_the_format_says(tmp_path: Path) -> None:
    connection = connect(tmp_path / "log.sqlite")
    assert version(connection) == FORMAT
    made = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    assert made == {line.split()[2] for line in TABLES.splitlines() if line.startswith("CREATE TABLE")}
    connection.close()


def test_a_folder_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match=r"cannot be opened for writing .*Free or repair it"):
        connect(tmp_path / "nowhere" / "log.sqlite")
