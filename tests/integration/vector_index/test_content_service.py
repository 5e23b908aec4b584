"""Operations on content IDs through the real service: what they change, who may, and what survives a kill."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from index_items import free_port, image, near, server, vectors

from materials.errors import UsageError
from vector_index.channels import Access
from vector_index.content.client import ContentClient

V = vectors(40, dim=256)
WHO = "moderator"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with server(tmp_path_factory.mktemp("index"), port):
        yield f"127.0.0.1:{port}"


def test_every_operation_and_question(address: str) -> None:
    with ContentClient(address) as client:
        a, b, _ = client.assign([image("a", V[0]), image("b", V[1]), image("c", near(V[0], 0.999))])
        merged = client.merge(b.content_id, a.content_id, WHO, "the same logo", 0.9)
        assert (merged.content_id, merged.redirected) == (a.content_id, b.content_id)
        parted = client.split(a.content_id, ["b"], WHO, "not the same logo")
        assert client.judge("feed", "a", "b", "different", WHO).content_id == a.content_id
        with pytest.raises(UsageError, match="different") as caught:
            client.merge(parted.new, a.content_id, WHO)
        assert "--withdraw" in caught.value.remedy
        client.withdraw("feed", "a", "b", "different", WHO)
        joined = client.judge("feed", "b", "c", "same", WHO, "seen")
        assert joined.moved == {"b": a.content_id}
        told = client.history_of_content_id(a.content_id)
        assert [entry.what for entry in told.entries] == [
            *("minted", "joined", "absorbed", "split", "different", "withdrawn", "absorbed", "same")
        ]
        assert [e.why for e in told.entries if e.what in ("absorbed", "split")][:2] == [
            "the same logo",
            "not the same logo",
        ]
        assert client.history_of_material("b", "feed").canonical == a.content_id
        explained = client.explain("b", "a", "feed")
        assert explained.same
        assert explained.path[-1].who == WHO
        assert client.explain("b", "c", "feed").verdicts[0].why == "seen"
        assert explained.judged is not None
        assert explained.judged.score < explained.needed
        assert client.merge_proposals("feed").scanned == 1
        assert client.stats()["counters"]["merged"] == 2


def test_who_has_no_token_changes_nothing(address: str, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("sosie-index-" + "x" * 43 + "\n")
    wrong.chmod(0o600)
    with ContentClient(address) as client:
        a, b = client.assign([image("t-a", V[10]), image("t-b", V[11])])
    with ContentClient(address, access=Access(token_file=wrong)) as stranger:
        for refused in (
            lambda: stranger.merge(a.content_id, b.content_id, WHO),
            lambda: stranger.split(a.content_id, ["t-a"], WHO),
            lambda: stranger.judge("feed", "t-a", "t-b", "same", WHO),
            lambda: stranger.withdraw("feed", "t-a", "t-b", "same", WHO),
        ):
            with pytest.raises(UsageError, match="token"):
                refused()
        assert stranger.resolve(b.content_id) == b.content_id
        assert stranger.history_of_material("t-a", "feed").entries[0].what == "minted"


def test_an_acknowledged_verdict_survives_a_kill(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port) as process, ContentClient(f"127.0.0.1:{port}") as client:
        a, b = client.assign([image("a", V[20]), image("b", V[21])])
        client.judge("feed", "a", "b", "same", WHO, "before the kill")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with server(tmp_path, port), ContentClient(f"127.0.0.1:{port}") as client:
        assert client.resolve(b.content_id) == a.content_id
        assert client.explain("a", "b", "feed").verdicts[0].why == "before the kill"
