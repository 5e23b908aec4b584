"""Is a candidate's embedding as good as the one in production? A golden set, its figures, and the margins.

A golden set is references and queries, each query a changed copy of one reference. The figures are those by which copy
detection is judged (Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", CVPR 2022): all pairs of
query and reference, ranked by cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent
from model_plugins.library.records import Figure

Tensors = Mapping[str, NDArray[Any]]
Infer = Callable[[Tensors], dict[str, NDArray[Any]]]
"""One call of a model: inputs [n, ...] -> outputs [n, ...], n at most the model's maximum batch."""

MARGINS: Final = {"recall@1": 0.01, "μAP": 0.01, "separation": 0.15}
"""How far below production a candidate may lie, by figure."""
REPEATS_WITHIN: Final = 1e-4
BATCH_WITHIN: Final = 1e-2
"""Largest difference of a component between two runs, and between a row alone and the same row in a batch."""


class GoldenSet(msgspec.Struct, frozen=True):
    """Media as a model's inputs.

    `inputs`: name -> [n, ...]; `truth`: int64 [n], for a query the row of its reference, -1 for a reference;
    `digest`: sha256 of what it was made of.
    """

    inputs: dict[str, NDArray[Any]]
    truth: NDArray[np.int64]
    digest: str

    def __post_init__(self) -> None:
        queries = self.truth >= 0
        if not queries.any() or (~queries).sum() < 2 or (self.truth[self.truth[queries]] >= 0).any():
            raise ValueError("a golden set has queries, two references or more, and each query's truth is a reference")

    @property
    def references(self) -> int:
        """How many references."""
        return int((self.truth < 0).sum())

    @property
    def queries(self) -> int:
        """How many queries."""
        return int((self.truth >= 0).sum())


class Run(msgspec.Struct, frozen=True):
    """What a model made of a golden set. `vectors`: float32 [n, d], as the model gave them; `repeat_error`,
    `batch_error`: largest difference of a component; `milliseconds`: median of a full batch."""

    vectors: NDArray[np.float32]
    repeat_error: float
    batch_error: float
    milliseconds: float


def run(
    golden: GoldenSet,
    infer: Infer,
    output: str,
    max_batch: int,
    clock: Callable[[], float],
    progress: Callable[[int], None] = lambda _rows: None,
) -> Run:
    """Send the whole set through a model, batch by batch, and its first batch again: as a whole and one by one.

    Raises:
        Permanent: the output is not one vector a row, or holds numbers that are none.
    """
    rows = len(golden.truth)
    parts: list[NDArray[np.float32]] = []
    times: list[float] = []

    def vectors(start: int, stop: int) -> NDArray[np.float32]:
        answer = infer({name: array[start:stop] for name, array in golden.inputs.items()})[output]
        found = np.asarray(answer, dtype=np.float32)
        if found.ndim != 2 or len(found) != stop - start:
            raise Permanent(f"output {output!r} has shape {list(found.shape)}, not one vector a row")
        if not np.isfinite(found).all():
            raise Permanent(f"output {output!r} holds infinities or NaN")
        return found

    for start in range(0, rows, max_batch):
        stop, began = min(start + max_batch, rows), clock()
        parts.append(vectors(start, stop))
        times.append(clock() - began)
        progress(stop - start)
    first = parts[0]
    again = vectors(0, len(first))
    alone = np.concatenate([vectors(i, i + 1) for i in range(len(first))])
    return Run(
        np.concatenate(parts),
        float(np.abs(again - first).max()),
        float(np.abs(alone - first).max()),
        float(np.median(times)) * 1000,
    )


def ranking(golden: GoldenSet, vectors: NDArray[np.float32]) -> dict[str, float]:
    """recall@1, μAP (average precision of all pairs in one list) and separation.

    Separation is the sensitivity index d' between the cosines of true pairs and those of each query's nearest wrong
    reference: difference of means over the root of the mean variance.
    """
    unit = unit_rows(vectors)
    is_query = golden.truth >= 0
    columns = np.cumsum(~is_query) - 1  # row of a reference -> its column
    similarity = unit[is_query] @ unit[~is_query].T
    true_column = columns[golden.truth[is_query]]
    truth = np.zeros(similarity.shape, dtype=bool)
    truth[np.arange(len(true_column)), true_column] = True
    right = similarity[truth]
    wrong = np.where(truth, -np.inf, similarity).max(1)
    spread = np.sqrt((right.var() + wrong.var()) / 2)
    return {
        "recall@1": float((right > wrong).mean()),
        "μAP": average_precision(similarity.ravel(), truth.ravel()),
        "separation": float((right.mean() - wrong.mean()) / max(spread, 1e-6)),
    }


def average_precision(score: NDArray[np.floating[Any]], truth: NDArray[np.bool_]) -> float:
    """Of one ranked list; ties are broken against the ranking (a constant score must not look good)."""
    order = np.lexsort((truth, -score))
    hits = truth[order]
    return float((np.cumsum(hits) / np.arange(1, hits.size + 1))[hits].mean())


def compare(golden: GoldenSet, candidate: Run, baseline: Run | None) -> tuple[tuple[Figure, ...], float | None]:
    """The figures with their limits, and how far the two versions agree (mean cosine of the same medium's vectors; None
    without a baseline or with another width)."""
    found = ranking(golden, candidate.vectors)
    known = ranking(golden, baseline.vectors) if baseline else {}
    figures = [
        Figure(
            name=name,
            candidate=value,
            baseline=known.get(name),
            limit=known[name] - MARGINS[name] if name in known else None,
        )
        for name, value in found.items()
    ]
    for name, attribute, limit in (
        ("repeat error", "repeat_error", REPEATS_WITHIN),
        ("batch error", "batch_error", BATCH_WITHIN),
        ("ms a batch", "milliseconds", None),
    ):
        figures.append(
            Figure(
                name=name,
                candidate=getattr(candidate, attribute),
                baseline=getattr(baseline, attribute) if baseline else None,
                limit=limit,
                lower_is_better=True,
            )
        )
    agreement = None
    if baseline is not None and baseline.vectors.shape == candidate.vectors.shape:
        agreement = float((unit_rows(candidate.vectors) * unit_rows(baseline.vectors)).sum(1).mean())
    return tuple(figures), agreement


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row over its L2 norm; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
