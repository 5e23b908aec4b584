"""Names in Redis. The braces keep them on one node of a Redis cluster, where a script may touch them together.

sosie:{retry}:entries          hash, entry id -> msgpack of the `Entry`
sosie:{retry}:admitted         sorted set, entry id -> epoch seconds: given leave to come, on the way here
sosie:{retry}:ingested         sorted set, piece of a hand-over file -> epoch seconds: taken once, whatever dies
sosie:{retry}:runs             set of run ids that have entries
sosie:{retry}:due:RUN          sorted set, entry id -> epoch seconds when it is due
sosie:{retry}:batches:RUN      hash, batch id -> entry ids: on the way back to the job
sosie:{retry}:lease:NAME       the pump that works; it expires
"""

from __future__ import annotations

PREFIX = "sosie:{retry}:"
ENTRIES = PREFIX + "entries"
ADMITTED = PREFIX + "admitted"
INGESTED = PREFIX + "ingested"
RUNS = PREFIX + "runs"


def due(run_id: str) -> str:
    """When the entries of a run are due."""
    return f"{PREFIX}due:{run_id}"


def batches(run_id: str) -> str:
    """What is on its way back to a run."""
    return f"{PREFIX}batches:{run_id}"


def lease(name: str) -> str:
    """The pump of a state folder."""
    return f"{PREFIX}lease:{name}"
