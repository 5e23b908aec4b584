"""Which cells of an inverted file a query looks into."""

from __future__ import annotations

import numpy as np
import pytest
from index_items import near, unit, vectors

from materials.errors import UsageError
from vector_index.segments.codebook import Codebook, train
from vector_index.segments.settings import LEAST_CELLS, Probe, SegmentSettings

DIM = 32
CLUSTERS = 40


@pytest.fixture(scope="module")
def clustered() -> np.ndarray:
    """[4000, 32]: a hundred vectors around each of forty centres."""
    centres = vectors(CLUSTERS, seed=3)
    noise = 0.08 * np.random.default_rng(4).standard_normal((CLUSTERS * 100, DIM))
    return unit(np.repeat(centres, 100, axis=0) + noise)


def book(sample: np.ndarray, margin: float) -> Codebook:
    return train(sample, len(sample), "sq8", CLUSTERS, Probe(32, margin))


def test_cells_beyond_the_margin_are_left_out(clustered: np.ndarray) -> None:
    queries = clustered[::50]
    products, cells = book(clustered, 0.3).coarse(queries)
    left_out = products < products[:, :1] - np.float32(0.3)
    left_out[:, :LEAST_CELLS] = False
    assert left_out.any()
    np.testing.assert_array_equal(cells < 0, left_out)


def test_a_margin_of_two_searches_every_cell(clustered: np.ndarray) -> None:
    assert (book(clustered, 2.0).coarse(clustered[::50])[1] >= 0).all()


def test_the_nearest_cells_are_searched_at_any_margin(clustered: np.ndarray) -> None:
    cells = book(clustered, 0.0).coarse(clustered[::50])[1]
    assert (cells[:, :LEAST_CELLS] >= 0).all()
    assert (cells[:, LEAST_CELLS:] < 0).any()


def test_near_duplicates_are_found_as_without_a_margin(clustered: np.ndarray) -> None:
    """FAISS takes the cells as they are told, the missing ones too."""
    sources = np.arange(0, len(clustered), 13)
    copies = np.stack([near(clustered[row], 0.8 + 0.19 * (row % 5) / 4, seed=row) for row in sources])
    found = []
    for margin in (2.0, Probe().margin):
        cells = book(clustered, margin)
        index = cells.empty()
        index.add_with_ids(clustered, np.arange(len(clustered), dtype=np.int64))
        products, chosen = cells.coarse(copies)
        rows = index.search_preassigned(copies, 10, chosen, products)[1]
        found.append(int((rows == sources[:, None]).any(axis=1).sum()))
    assert found[1] == found[0] > 0.9 * len(sources)


def test_a_margin_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cell_margin is 2\.5"):
        SegmentSettings(cell_margin=2.5)
