"""From what each segment found to the best of all, with exact scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vector_index.segments.active import Active
from vector_index.segments.arrays import Flags, Matrix, Places, Rows
from vector_index.segments.exact import dots
from vector_index.segments.segment import Segment

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
        precise: a query's best so many are told exactly, and their scores are exact; those of the others may be that of
            8-bit codes (off by about 0.001 for unit vectors); 0: all are exact.
    """
    depth = candidates(segments, active, k)
    books = {book.name: book for book in (active.codebook, *(one.codebook for one in segments)) if book is not None}
    coarse = {name: book.coarse(queries) for name, book in books.items()}
    rough, rows = active.search(queries, depth, coarse[active.codebook.name] if active.codebook else None)
    if not books and not segments:
        return _ordered(rough, rows, k)
    columns_rough, columns_place = [rough], [rows]
    columns_from = [np.full(rough.shape[1], ACTIVE)]
    for number, segment in enumerate(segments):
        book = segment.codebook
        scores, places = segment.search(queries, depth, None if book is None else coarse[book.name])
        columns_rough.append(scores)
        columns_place.append(places)
        columns_from.append(np.full(scores.shape[1], number))
    rough, place = np.concatenate(columns_rough, 1), np.concatenate(columns_place, 1)
    origin = np.broadcast_to(np.concatenate(columns_from), rough.shape)
    rough = np.where(place >= 0, rough, -np.inf)
    if rough.shape[1] > depth:
        kept = np.argpartition(-rough, depth - 1, axis=1)[:, :depth]
        place, origin = np.take_along_axis(place, kept, 1), np.take_along_axis(origin, kept, 1)
        rough = np.take_along_axis(rough, kept, 1)
    wanted = _close(rough, precise, max((book.error for book in books.values()), default=0.0))
    exact, rows = _scored(segments, active, queries, place, rough, origin, wanted)
    return _ordered(exact, rows, k)


def _scored(
    segments: Sequence[Segment],
    active: Active,
    queries: Matrix,
    place: Places,
    rough: Matrix,
    origin: Places,
    wanted: Flags,
) -> tuple[Matrix, Rows]:
    """Scores, exact where `wanted`, and rows instead of places."""
    exact, rows = rough.copy(), place.copy()
    if active.codebook is not None:
        query, column = np.nonzero(wanted & (origin == ACTIVE) & (place >= 0))
        if len(query):
            scores = active.exact(place[query, column], queries[query])
            exact[query, column] = np.where(np.isnan(scores), rough[query, column], scores)
    for number, segment in enumerate(segments):
        query, column = np.nonzero((origin == number) & (place >= 0))
        if not len(query):
            continue
        places = place[query, column]
        rows[query, column] = segment.rows[places]
        if segment.codebook is not None:
            asked = wanted[query, column]
            query, column = query[asked], column[asked]
            exact[query, column] = dots(segment.exact.take(places[asked]), queries[query])
    return exact, rows


def _close(scores: Matrix, count: int, error: float) -> Flags:
    """What may be among the best so many of its line, when each score is off by up to `error`; all for a count of 0."""
    if not 0 < count < scores.shape[1]:
        return np.ones(scores.shape, np.bool_)
    least = -np.partition(-scores, count - 1, axis=1)[:, count - 1]
    return np.asarray(scores >= least[:, None] - 2 * error, np.bool_)


def _ordered(scores: Matrix, rows: Rows, k: int) -> tuple[Matrix, Rows]:
    scores = np.where(rows >= 0, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
