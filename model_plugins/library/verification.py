"""Verify a candidate on a real model server, beside the version in production and without callers noticing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from numpy.typing import NDArray

from materials.errors import Permanent, SosieError
from model_plugins.library import golden as golden_sets
from model_plugins.library.golden import GoldenSet, Infer, Run
from model_plugins.library.library import Library
from model_plugins.library.records import PRODUCTION, Card, Verification
from model_plugins.library.servers import ModelServer

log = structlog.get_logger(__name__)


def verify(
    library: Library,
    card: Card,
    golden: GoldenSet,
    server: ModelServer,
    *,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Verification:
    """Run a golden set through the candidate and through the version in production; the result is kept beside the card.

    Both are loaded on the server from the library under names of their own (`NAME.verify-N`) and unloaded at the end,
    so that what is compared is what the library holds, and no caller of the model meets the candidate.

    Args:
        progress: told how many rows have been computed since the last time.

    Raises:
        Permanent: a version does not load or does not answer as its card says.
        Retryable: the server is away.
    """
    production = library.target(card.name, PRODUCTION)
    baseline = library.card(card.name, production) if production not in (0, card.version) else None
    found = measured(library, card, golden, server, clock, progress)
    known = measured(library, baseline, golden, server, clock, progress) if baseline else None
    figures, agreement = golden_sets.compare(golden, found, known)
    verification = Verification(
        name=card.name,
        version=card.version,
        digest=card.digest,
        baseline=production if baseline else 0,
        golden=golden.digest,
        references=golden.references,
        queries=golden.queries,
        figures=figures,
        agreement=agreement,
        server=server.address,
        created=library.now(),
    )
    library.record(verification)
    return verification


def measured(
    library: Library,
    card: Card,
    golden: GoldenSet,
    server: ModelServer,
    clock: Callable[[], float],
    progress: Callable[[int], None],
) -> Run:
    """Load one version aside, run the golden set through it, unload it."""
    if len(card.signature.outputs) != 1 or len(card.signature.outputs[0].shape) != 1:
        raise Permanent(
            f"{card.key} gives {', '.join(map(str, card.signature.outputs))}; `verify` judges models that give one "
            "vector a row"
        )
    aside = f"{card.name}.verify-{card.version}"
    files = {card.version: library.files(card)}
    server.load_inline(aside, library.config(card.name), files, server.instance_group(card.name))
    try:
        infer = _caller(server, aside, card)
        return golden_sets.run(golden, infer, card.signature.outputs[0].name, card.signature.max_batch, clock, progress)
    finally:
        try:
            server.unload(aside)
        except SosieError as error:  # the verdict does not hang on it, and a restart of the server clears it
            log.warning("verify_left_model", model=aside, server=server.address, error=str(error))


def _caller(server: ModelServer, name: str, card: Card) -> Infer:
    def infer(tensors: golden_sets.Tensors) -> dict[str, NDArray[Any]]:
        return server.infer(name, card.version, card.signature, tensors)

    return infer
