"""`kill -9` of the index: what was acknowledged stays, with the same content IDs, and nothing is there twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from index_items import free_port, image, near, plain_rankers, server, vectors
from msgspec.structs import replace

from materials.records import Assignment
from vector_index.client import IndexClient
from vector_index.engine import Engine

pytestmark = pytest.mark.fault
V = vectors(40, dim=256)

DIE_BEFORE_THE_SPACES_LEARN = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{support!r}, {root!r}]
from index_items import image, near, plain_rankers, vectors
from vector_index.engine import Engine

class Dying(Engine):
    def _publish(self, removed, added):
        if any(True for _ in added) and os.environ.get("DIE"):
            os.kill(os.getpid(), signal.SIGKILL)
        super()._publish(removed, added)

V = vectors(40, dim=256)
engine = Dying(Path({state!r}), plain_rankers())
engine.assign([image("a", V[0])])
engine.snapshot()
os.environ["DIE"] = "1"
engine.assign([image("b", near(V[0], 0.97)), image("c", V[1])])
"""


def test_content_id_survives_kill_between_log_and_index(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    support = root / "tests" / "support"
    script = DIE_BEFORE_THE_SPACES_LEARN.format(support=str(support), root=str(root), state=str(tmp_path))
    died = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    engine = Engine(tmp_path, plain_rankers())
    a, b, c = engine.get(["a", "b", "c"], "feed")
    assert a is not None
    assert b is not None
    assert c is not None
    assert b.content_id == a.content_id != c.content_id
    assert engine.stats().spaces == {"image-embedding@1": 3}
    again = engine.assign([image("b", near(V[0], 0.97)), image("c", V[1]), image("d", near(V[1], 0.97))])
    assert again[:2] == [replace(b, replayed=True), replace(c, replayed=True)]
    assert again[2].content_id == c.content_id
    engine.close()


def test_nothing_acknowledged_is_lost_over_kills_in_the_middle_of_assigns(tmp_path: Path) -> None:
    """Two clients send groups of copies while the server is killed and started again on the same port."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    groups, copies, kills = 40, 6, 3
    acknowledged: dict[str, Assignment] = {}
    failures: list[BaseException] = []
    progress = threading.Condition()

    def send(copy_numbers: range) -> None:
        try:
            with IndexClient(address, deadline=60) as client:
                for copy in copy_numbers:
                    for start in range(0, groups, 4):
                        batch = [image(f"g{g}-{copy}", near(V[g], 0.995, seed=copy)) for g in range(start, start + 4)]
                        answers = client.assign(batch)
                        with progress:
                            acknowledged.update((one.material_id, one) for one in answers)
                            progress.notify_all()
        except BaseException as error:
            failures.append(error)
            with progress:
                progress.notify_all()

    senders = [threading.Thread(target=send, args=(range(i, copies, 2),)) for i in range(2)]
    choose = random.Random(5)
    for number in range(kills + 1):
        with server(tmp_path, port, "--snapshot-every", "25") as process:
            if number == 0:
                for sender in senders:
                    sender.start()
            if number < kills:
                wanted = len(acknowledged) + choose.randint(8, 40)
                with progress:
                    assert progress.wait_for(lambda w=wanted: len(acknowledged) >= w or bool(failures), timeout=60)
                process.kill()
                process.wait()
                continue
            for sender in senders:
                sender.join(timeout=60)
            assert failures == []
            check(address, acknowledged, groups, copies)


def check(address: str, acknowledged: dict[str, Assignment], groups: int, copies: int) -> None:
    assert len(acknowledged) == groups * copies
    with IndexClient(address) as client:
        ids = sorted(acknowledged)
        found = [one for one in client.get(ids, "feed") if one is not None]
        stored = {one.material_id: one for one in found}
        assert stored == {key: replace(one, replayed=False) for key, one in acknowledged.items()}
        stats = client.stats()
        assert stats["materials"] == stats["spaces"]["image-embedding@1"] == groups * copies
        for group in range(groups):
            group_ids = {acknowledged[f"g{group}-{copy}"].content_id for copy in range(copies)}
            assert len(group_ids) == 1
            content_id = group_ids.pop()
            assert sorted(client.members(content_id)) == [key for key in ids if stored[key].content_id == content_id]
