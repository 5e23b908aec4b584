"""The log's second witness: what SQLite would drop without a word is missed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from index_items import image, near, plain_rankers, vectors

from materials.errors import Permanent
from vector_index.engine import Engine
from vector_index.log_witness import NAME, Witness, noted

V = vectors(12)
WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths}
from index_items import image, plain_rankers, vectors
from vector_index.engine import Engine
engine = Engine(Path({folder!r}), plain_rankers())
for i, vector in enumerate(vectors(12)):
    sys.stderr.write(engine.assign([image("m%d" % i, vector)])[0].content_id + " ")
sys.stderr.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def crashed(folder: Path) -> list[str]:
    """A folder as `kill -9` leaves it: all in the write-ahead file."""
    support = Path(__file__).parents[2] / "support"
    script = WRITE_AND_DIE.format(paths=[str(support), str(support.parents[1])], folder=str(folder))
    died = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    return died.stderr.split()


def again(folder: Path) -> list[str]:
    engine = Engine(folder, plain_rankers())
    found = engine.assign([image(f"again{i}", near(vector, 0.99)) for i, vector in enumerate(V)])
    engine.close()
    return [one.content_id for one in found]


@pytest.mark.parametrize(
    "damage", ["flipped in the middle", "flipped at the head", "flipped at the end", "cut", "gone"]
)
def test_a_damaged_tail_of_the_log_is_refused_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "index"
    ids = crashed(folder)
    tail = folder / "log.sqlite-wal"
    whole = tail.read_bytes()
    if damage == "gone":
        tail.unlink()
    elif damage == "cut":
        tail.write_bytes(whole[:-100])
    else:
        place = {"flipped in the middle": len(whole) // 2, "flipped at the head": 20}.get(damage, len(whole) - 2)
        flipped = bytearray(whole)
        flipped[place] ^= 4
        tail.write_bytes(bytes(flipped))
    left = tail.read_bytes() if tail.exists() else b""
    with pytest.raises(Permanent, match=r"were acknowledged.*sosie index restore.*delete .*acknowledged"):
        Engine(folder, plain_rankers())
    assert (tail.read_bytes() if tail.exists() else b"") == left
    tail.write_bytes(whole)
    assert again(folder) == ids


@pytest.mark.parametrize("rest", [b"\0" * 3000, b"\xff" * 24, os.urandom(5000)])
def test_the_torn_end_of_an_unfinished_transaction_is_dropped(tmp_path: Path, rest: bytes) -> None:
    ids = crashed(tmp_path / "index")
    tail = tmp_path / "index" / "log.sqlite-wal"
    with tail.open("ab") as file:
        file.write(rest)
    assert again(tmp_path / "index") == ids


def test_an_older_log_in_the_place_of_a_newer_one_is_refused_until_it_is_meant(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    engine = Engine(folder, plain_rankers())
    engine.assign([image("a", V[0])])
    engine.close()
    shutil.copy(folder / "log.sqlite", tmp_path / "older")
    engine = Engine(folder, plain_rankers())
    engine.assign([image("b", V[1])])
    engine.close()
    shutil.copy(tmp_path / "older", folder / "log.sqlite")
    with pytest.raises(Permanent, match="ends with transaction 1, and 2 were acknowledged: 1 are missing"):
        Engine(folder, plain_rankers())
    (folder / NAME).unlink()
    engine = Engine(folder, plain_rankers())
    assert engine.get(["b"], "feed") == [None]
    engine.close()


def test_a_damaged_note_is_made_anew(tmp_path: Path) -> None:
    ids = crashed(tmp_path / "index")
    note = tmp_path / "index" / NAME
    note.write_bytes(note.read_bytes()[:-1] + b"?")
    assert noted(tmp_path / "index") == 0
    assert again(tmp_path / "index") == ids
    assert noted(tmp_path / "index") > len(ids)


def test_a_note_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    os.close(witness._file)
    witness._file = os.open(tmp_path / NAME, os.O_RDONLY)
    witness.acknowledge(7)
    witness.close()
    witness.close()
    assert noted(tmp_path) == 0
