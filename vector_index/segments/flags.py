"""The storage budgets as options of a command."""

from __future__ import annotations

import argparse

from vector_index.segments.settings import SegmentSettings

MB = 1 << 20


def add_budgets(parser: argparse.ArgumentParser) -> None:
    """Options of the index service for memory, disk and threads; see `SegmentSettings`."""
    plain = SegmentSettings()
    group = parser.add_argument_group("storage budgets")
    group.add_argument(
        "--memory", type=int, default=plain.memory // MB, metavar="MB", help="of a space's 8-bit codes; then smaller"
    )
    group.add_argument(
        "--disk-reserve", type=int, default=plain.disk_reserve // MB, metavar="MB", help="that segments leave free"
    )
    group.add_argument("--nprobe", type=int, default=plain.nprobe, metavar="CELLS", help="searched of a large space")
    group.add_argument(
        "--cell-margin",
        type=float,
        default=plain.cell_margin,
        metavar="COSINE",
        help="cells further behind the nearest one are not searched; 2: all of --nprobe",
    )
    group.add_argument(
        "--flat-limit", type=int, default=plain.flat_limit, metavar="VECTORS", help="up to which search is exhaustive"
    )
    group.add_argument(
        "--seal-rows", type=int, default=plain.seal_rows, metavar="VECTORS", help="in memory, then they are sealed"
    )
    group.add_argument("--build-threads", type=int, default=plain.build_threads, metavar="N", help="to train and merge")


def budgets(options: argparse.Namespace) -> SegmentSettings:
    """What was given.

    Raises:
        UsageError: a value out of range.
    """
    return SegmentSettings(
        memory=options.memory * MB,
        disk_reserve=options.disk_reserve * MB,
        nprobe=options.nprobe,
        cell_margin=options.cell_margin,
        flat_limit=options.flat_limit,
        seal_rows=options.seal_rows,
        least_sealed=min(SegmentSettings().least_sealed, options.seal_rows),
        build_threads=options.build_threads,
    )
