"""From what each segment found to the best of all, with exact scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vector_index.segments.active import Active
from vector_index.segments.arrays import Flags, Matrix, Places, Rows
from vector_index.segments.exact import dots
from vector_index.segments.segment import Coarse, Segment

ACTIVE = -1
SQ8_MORE = 32
"""Eight-bit codes put dozens of near-equal copies in a wrong order: an exact copy was seen behind the thirtieth."""
RABITQ_FACTOR = 4
RABITQ_LEAST = 128
"""RaBitQ's scores are rough: of 128 rows that they put first, the exact best 30 are taken."""


def candidates(segments: Sequence[Segment], active: Active, k: int) -> int:
    """How many hits of the codes are looked at exactly."""
    books = [active.codebook, *(segment.codebook for segment in segments)]
    codes = {book.codes for book in books if book is not None}
    if "rabitq" in codes:
        return max(RABITQ_FACTOR * k, RABITQ_LEAST)
    return max(2 * k, k + SQ8_MORE) if codes else k


def search(
    segments: Sequence[Segment], active: Active, queries: Matrix, k: int, precise: int = 0
) -> tuple[Matrix, Rows]:
    """Exact scores and rows [n, k'], best first, -1 where there is no more.

    Args:
        precise: for so many of a query's hits the score is exact at least, for the others it may be that of 8-bit
            codes (off by about 0.001 for unit vectors); 0: for all.
    """
    depth = candidates(segments, active, k)
    precise = precise if depth == k else 0
    coarse: dict[str, Coarse] = {}
    for book in [active.codebook, *(segment.codebook for segment in segments)]:
        if book is not None and book.name not in coarse:
            coarse[book.name] = book.coarse(queries)
    rough, rows, exact = active.search(queries, depth, coarse[active.codebook.name] if active.codebook else None)
    if not segments:
        return _ordered(exact, rows, k)
    columns_rough, columns_place = [rough], [rows]
    columns_exact, columns_from = [exact], [np.full(rough.shape[1], ACTIVE)]
    for number, segment in enumerate(segments):
        book = segment.codebook
        scores, places = segment.search(queries, depth, None if book is None else coarse[book.name])
        columns_rough.append(scores)
        columns_place.append(places)
        columns_exact.append(scores)
        columns_from.append(np.full(scores.shape[1], number))
    rough, place = np.concatenate(columns_rough, 1), np.concatenate(columns_place, 1)
    exact = np.concatenate(columns_exact, 1)
    origin = np.broadcast_to(np.concatenate(columns_from), rough.shape)
    rough = np.where(place >= 0, rough, -np.inf)
    if rough.shape[1] > depth:
        kept = np.argpartition(-rough, depth - 1, axis=1)[:, :depth]
        place, exact, origin = (np.take_along_axis(one, kept, 1) for one in (place, exact, origin))
        rough = np.take_along_axis(rough, kept, 1)
    exact, rows = _scored(segments, queries, place, exact, origin, _best(rough, precise))
    return _ordered(exact, rows, k)


def _scored(
    segments: Sequence[Segment], queries: Matrix, place: Places, exact: Matrix, origin: Places, wanted: Flags
) -> tuple[Matrix, Rows]:
    """Exact scores of what sealed segments found, where `wanted`, and rows instead of places."""
    exact, rows = exact.copy(), place.copy()
    for number, segment in enumerate(segments):
        query, column = np.nonzero((origin == number) & (place >= 0))
        if not len(query):
            continue
        places = place[query, column]
        rows[query, column] = segment.rows[places]
        if segment.codebook is not None:
            asked = wanted[query, column]
            query, column = query[asked], column[asked]
            stored = segment.exact.take(places[asked])
            exact[query, column] = dots(stored, queries[query])
    return exact, rows


def _best(scores: Matrix, count: int) -> Flags:
    """The best so many of each line; 0: all."""
    if not 0 < count < scores.shape[1]:
        return np.ones(scores.shape, np.bool_)
    least = -np.partition(-scores, count - 1, axis=1)[:, count - 1]
    return scores >= least[:, None]


def _ordered(scores: Matrix, rows: Rows, k: int) -> tuple[Matrix, Rows]:
    scores = np.where(rows >= 0, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
