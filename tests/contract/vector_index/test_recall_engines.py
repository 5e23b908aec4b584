"""Every engine that ships keeps the contract that it declares."""

from __future__ import annotations

import pytest
from local_milvus import LocalMilvus

from vector_index.recall_engines import conformance
from vector_index.recall_engines.conformance import CHECKS, Check, run
from vector_index.recall_engines.faiss_engine import FaissEngine
from vector_index.recall_engines.milvus import MilvusEngine, MilvusSettings

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@every_check
def test_faiss_keeps_the_contract(check: Check) -> None:
    run(FaissEngine, check)


@every_check
def test_milvus_keeps_the_contract(milvus: LocalMilvus, check: Check) -> None:
    run(milvus.engine, check)


@pytest.mark.parametrize(
    ("index", "build", "search"), [("HNSW", {"M": 16, "efConstruction": 100}, {"ef": 64}), ("FLAT", {}, {})]
)
def test_milvus_keeps_the_contract_with_other_indexes(
    milvus: LocalMilvus, index: str, build: dict[str, int | float | str], search: dict[str, int | float | str]
) -> None:
    settings = MilvusSettings(milvus.uri, index_type=index, index=build, search=search, consistency="Session")
    for check in (conformance.finds_the_nearest, conformance.reads_its_own_writes, conformance.forgets_rows):
        run(lambda: MilvusEngine(settings), check)


def test_the_suite_is_a_command_for_engines_of_others(
    milvus: LocalMilvus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "CHECKS", CHECKS[:2])
    assert conformance.main([f"milvus:{milvus.uri}?seconds=5"]) == 0
    shown = capsys.readouterr().out
    assert "durable: True" in shown
    assert shown.count("passed") == 2
    assert conformance.main(["nothing:here"]) == 2
    assert "one of faiss, milvus" in capsys.readouterr().err
