"""`python understand_in_order.py SPEC STATE`: what one operator of a job does with the lines of its input, one after
the other, so that it is known which of two copies came first. A process of its own, as operators are."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from materials.parsing import parse_line
from pipeline import lookups
from pipeline.envelope import Envelope
from pipeline.operator_edges import OperatorEdges
from pipeline.spec import JobSpec, load


async def understand(spec: JobSpec, source: Path, lines: list[bytes], state: Path) -> None:
    """Every line must be decided."""
    edges = OperatorEdges(spec, lookups.addresses(state), state, spec.name, "post")
    try:
        await edges.connect()
        for number, line in enumerate(lines):
            material = parse_line(line, f"{source.name}:{number + 1}")
            envelope = Envelope(
                material_id=material.material_id,
                kind=material.kind,
                base=str(source.parent),
                line=line,
                entered_at=time.time(),
                trace_id=str(number),
                material=material,
            )
            outcome = await edges.understanding.understand(envelope)
            assert outcome.outcome in ("unique", "duplicate"), outcome
    finally:
        edges.close()


if __name__ == "__main__":
    job = load(Path(sys.argv[1]))
    path = Path(job.source.path)
    asyncio.run(understand(job, path, path.read_bytes().splitlines(), Path(sys.argv[2])))
