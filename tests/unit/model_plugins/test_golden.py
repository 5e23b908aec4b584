"""The figures of a golden set, the verdict on a candidate, and the rules of a promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_onnx
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from materials.errors import Permanent, SosieError, UsageError
from model_plugins.library import promotion
from model_plugins.library.golden import MARGINS, GoldenSet, Run, average_precision, compare, ranking, run, unit_rows
from model_plugins.library.library import Library
from model_plugins.library.promotion import Refused
from model_plugins.library.records import Card, Figure, Verification
from model_plugins.library.signature import signature_of_onnx
from model_plugins.library.store import FolderStore

REFERENCES, COPIES, WIDTH = 12, 4, 24


def golden() -> GoldenSet:
    truth = [-1] * REFERENCES + [i % REFERENCES for i in range(REFERENCES * COPIES)]
    rows = np.random.default_rng(0).integers(0, 256, (len(truth), 2, 2, 3), dtype=np.uint8)
    return GoldenSet({"image": rows}, np.array(truth, dtype=np.int64), "sha")


def vectors(noise: float, seed: int = 1) -> NDArray[np.float32]:
    """References at random, queries beside theirs."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(REFERENCES, WIDTH))
    truth = golden().truth
    rows = [base[i] if t < 0 else base[t] + noise * rng.normal(size=WIDTH) for i, t in enumerate(truth)]
    return unit_rows(np.array(rows, dtype=np.float32))


def as_run(found: NDArray[np.float32], repeat: float = 0.0, batch: float = 0.0) -> Run:
    return Run(found, repeat, batch, 10.0)


def test_a_perfect_and_a_blind_model() -> None:
    perfect = ranking(golden(), vectors(0.0))
    assert perfect["recall@1"] == 1.0
    assert perfect["μAP"] == pytest.approx(1.0)
    blind = ranking(golden(), np.ones((len(golden().truth), WIDTH), np.float32))
    assert blind["recall@1"] == 0.0
    assert blind["μAP"] < 2 / REFERENCES
    assert blind["separation"] == pytest.approx(0.0, abs=1e-3)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40).filter(
        lambda x: any(t for _, t in x)
    )
)
def test_average_precision_is_the_textbooks(rows: list[tuple[int, bool]]) -> None:
    score = np.array([s for s, _ in rows], dtype=float)
    truth = np.array([t for _, t in rows])
    ranked = [t for _, t in sorted(rows, key=lambda row: (-row[0], row[1]))]
    precisions = [sum(ranked[: i + 1]) / (i + 1) for i, hit in enumerate(ranked) if hit]
    assert average_precision(score, truth) == pytest.approx(float(np.mean(precisions)))


def test_an_equal_model_passes_and_agrees() -> None:
    figures, agreement = compare(golden(), as_run(vectors(0.3)), as_run(vectors(0.3)))
    assert all(figure.passed for figure in figures)
    assert agreement == pytest.approx(1.0)


def test_a_rotation_is_as_good_and_does_not_agree() -> None:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    figures, agreement = compare(golden(), as_run(vectors(0.3) @ turn), as_run(vectors(0.3)))
    assert all(figure.passed for figure in figures)
    assert agreement is not None
    assert agreement < 0.5


def test_a_worse_model_is_told_by_its_figures() -> None:
    figures, _ = compare(golden(), as_run(vectors(2.0)), as_run(vectors(0.3)))
    by_name = {figure.name: figure for figure in figures}
    for name, margin in MARGINS.items():
        figure = by_name[name]
        assert not figure.passed
        assert figure.baseline is not None
        assert figure.limit == pytest.approx(figure.baseline - margin)


def test_answers_that_change_are_refused() -> None:
    good = vectors(0.3)
    for candidate, name in ((as_run(good, repeat=0.01), "repeat error"), (as_run(good, batch=0.1), "batch error")):
        figures, _ = compare(golden(), candidate, None)
        assert [figure.name for figure in figures if not figure.passed] == [name]


def test_a_figure_that_is_no_number_never_passes() -> None:
    assert not Figure(name="x", candidate=float("nan"), limit=0.5).passed
    assert not Figure(name="x", candidate=float("nan"), limit=0.5, lower_is_better=True).passed


def test_running_a_set_measures_how_steady_a_model_is() -> None:
    calls: list[int] = []

    def infer(tensors: Any) -> dict[str, NDArray[Any]]:
        calls.append(len(tensors["image"]))
        flat = tensors["image"].reshape(len(tensors["image"]), -1).astype(np.float32)
        return {"embedding": flat + (0.5 if len(flat) == 1 else 0.0) + (0.25 if len(calls) == 9 else 0.0)}

    told: list[int] = []
    found = run(golden(), infer, "embedding", 8, iter(float(i) for i in range(100)).__next__, told.append)
    assert calls[:8] == [8] * 7 + [4]
    assert (found.repeat_error, found.batch_error, found.milliseconds) == (0.25, 0.5, 1000.0)
    assert sum(told) == len(golden().truth)


@pytest.mark.parametrize(
    "bad", [np.full((8, 4), np.nan, np.float32), np.zeros((8, 2, 2), np.float32), np.zeros((7, 4))]
)
def test_outputs_that_are_no_vectors_are_refused(bad: NDArray[Any]) -> None:
    with pytest.raises(Permanent):
        run(golden(), lambda _tensors: {"embedding": bad}, "embedding", 8, lambda: 0.0)


def test_golden_sets_that_make_no_sense() -> None:
    for truth in ([-1, -1], [-1, 0], [-1, -1, 3 - 1]):
        with pytest.raises((ValueError, IndexError)):
            GoldenSet({"image": np.zeros((len(truth), 1), np.uint8)}, np.array(truth), "")


# -- promotion


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(FolderStore(tmp_path))
    for seed in (1, 2, 3):
        data = tiny_onnx.random_projection(seed)
        library.add(
            "picture",
            {"model.onnx": data},
            signature_of_onnx(data),
            backend="python",
            runtime="",
            training="",
            licence="",
        )
    library.move("picture", 1, "promote", expected=0)
    return library


def verified(card: Card, baseline: int = 1, recall: float = 0.9, agreement: float | None = 0.999) -> Verification:
    figure = Figure(name="recall@1", candidate=recall, baseline=0.9, limit=0.89)
    return Verification(
        name=card.name,
        version=card.version,
        digest=card.digest,
        baseline=baseline,
        golden="sha",
        references=2,
        queries=2,
        figures=(figure,),
        agreement=agreement,
        server="here",
        created="now",
    )


def test_a_verified_and_served_version_is_promoted(library: Library) -> None:
    card = library.card("picture", 2)
    library.record(verified(card))
    change = promotion.promote(library, card, missing=[], by="ann")
    assert change is not None
    assert (change.version, change.previous, change.forced, change.by) == (2, 1, False, "ann")
    assert promotion.promote(library, card, missing=[]) is None
    assert promotion.rollback_target(library, "picture") == 1


def test_where_there_is_nothing_to_roll_back_to(library: Library) -> None:
    with pytest.raises(UsageError, match="has no unknown@production") as caught:
        promotion.rollback_target(library, "unknown")
    assert caught.value.remedy
    with pytest.raises(SosieError, match="no earlier version"):
        promotion.rollback_target(library, "picture")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "never verified"),
        ({"baseline": 3}, "verified against picture@3, and production is picture@1"),
        ({"recall": 0.5}, r"recall@1 is 0\.5000, below the limit 0\.8900 \(picture@1 has 0\.9000\)"),
    ],
)
def test_what_speaks_against_a_promotion_is_said(library: Library, record: dict[str, Any] | None, words: str) -> None:
    card = library.card("picture", 2)
    if record is not None:
        library.record(verified(card, **record))
    with pytest.raises(Refused, match=words) as refused:
        promotion.promote(library, card, missing=[])
    assert len(refused.value.reasons) == 1
    assert library.target("picture") == 1
    change = promotion.promote(library, card, missing=[], force=True, reason="we know")
    assert change is not None
    assert change.forced
    assert change.reason.startswith("we know; overruled: ")


def test_the_last_verification_counts(library: Library) -> None:
    card = library.card("picture", 2)
    library.record(verified(card, recall=0.5))
    library.record(verified(card))
    assert promotion.promote(library, card, missing=[]) is not None


def test_another_space_is_no_objection(library: Library) -> None:
    """Each version of an embedding has a space of its own, which is warmed."""
    card = library.card("picture", 2)
    library.record(verified(card, agreement=-0.1))
    change = promotion.promote(library, card, missing=[])
    assert change is not None
    assert not change.forced


def test_a_version_that_is_neither_verified_nor_served_hears_both(library: Library) -> None:
    with pytest.raises(Refused) as refused:
        promotion.promote(library, library.card("picture", 2), missing=["a:1"], force=True)
    assert len(refused.value.reasons) == 2


def test_a_version_that_a_server_lacks_is_not_even_forced(library: Library) -> None:
    card = library.card("picture", 2)
    library.record(verified(card))
    for alias in ("production", "canary"):
        with pytest.raises(Refused, match=r"not announced by 10\.0\.0\.1:8001: sosie model deploy picture@2"):
            promotion.promote(library, card, missing=["10.0.0.1:8001"], alias=alias, force=True, reason="now")
    assert promotion.promote(library, card, missing=[], alias="canary") is not None
