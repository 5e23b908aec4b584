"""`--recall`: what is understood, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from gated_engine import GatedEngine

from materials.errors import UsageError
from vector_index.recall_engines import choice
from vector_index.recall_engines.buffered_space import BufferedSpace
from vector_index.recall_engines.choice import RecallChoice, maker_of, milvus_settings
from vector_index.recall_engines.milvus import MilvusSettings, expression_of
from vector_index.where import Where


def test_an_address_carries_settings(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("root:secret\n")
    address = (
        f"https://milvus.example:19530?index=HNSW&index.M=32&search.ef=256&index.alpha=1.5&consistency=Session"
        f"&database=sosie&seconds=2.5&token_file={tmp_path / 'token'}"
    )
    assert milvus_settings(address) == MilvusSettings(
        uri="https://milvus.example:19530",
        token="root:secret",
        database="sosie",
        index_type="HNSW",
        index={"M": 32, "alpha": 1.5},
        search={"ef": 256},
        consistency="Session",
        seconds=2.5,
    )
    assert milvus_settings("http://h:1?token_env=T", {"T": "key"}).token == "key"


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("image-embedding", "is not SPACE=ENGINE"),
        ("=faiss", "is not SPACE=ENGINE"),
        ("a=nothing:x", "'nothing' is unknown"),
        ("a=milvus:localhost:19530", "no address of Milvus"),
        ("a=milvus:http://u:p@h:1", "a password in the address"),
        ("a=milvus:http://h:1?nprobe=3", "'nprobe' is unknown"),
        ("a=milvus:http://h:1?consistency=Eventually", "would not find what was just stored"),
        ("a=milvus:http://h:1?seconds=soon", "no deadline"),
        ("a=milvus:http://h:1?token_file=/nowhere/token", "cannot be read"),
        ("a=milvus:http://h:1?token_env=SOSIE_UNSET_TOKEN", "SOSIE_UNSET_TOKEN is empty"),
    ],
)
def test_a_bad_option_is_refused(option: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=problem):
        RecallChoice([option], tmp_path)


def test_a_space_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        RecallChoice(["a=faiss", "a=faiss"], tmp_path)


def test_only_named_spaces_of_vectors_leave_this_process(tmp_path: Path) -> None:
    choice = RecallChoice(["text-embedding=faiss"], tmp_path)
    assert choice.space_for("text-embedding@1", "vector") is None
    assert choice.space_for("image-embedding@1", "vector") is None


def test_a_schema_that_no_engine_holds_stays_here_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choice, "maker_of", lambda _engine: GatedEngine)
    chosen = RecallChoice(["video-embedding=gated", "image-embedding@2=gated"], tmp_path)
    assert chosen.space_for("video-embedding@1", "timed-vectors") is None
    assert "stays in this process" in capsys.readouterr().out
    assert chosen.space_for("image-embedding@1", "vector") is None  # the option names version 2 only
    space = chosen.space_for("image-embedding@2", "vector")
    assert isinstance(space, BufferedSpace)
    space.close()


def test_faiss_is_known() -> None:
    assert maker_of("faiss")().capabilities.metric == "inner_product"


def test_filters_in_the_language_of_milvus() -> None:
    assert expression_of(None) == expression_of(Where()) == ""
    where = Where(kinds=("image", "video"), biz=('a"b\\',), since=1.5, until=1e20)
    assert expression_of(where) == (
        'kind in ["image", "video"] and biz in ["a\\"b\\\\"] and created_at >= 1.5 and created_at < 1e+20'
    )
