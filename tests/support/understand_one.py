"""`python understand_one.py SPEC STATE ADDRESSES LINE`: what one operator of a job makes of one input line, with the
addresses (JSON) of that test; prints the outcome. A process of its own, as operators are."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from deploy.addresses import Addresses
from materials.parsing import parse_line
from materials.records import Outcome
from pipeline.envelope import Envelope
from pipeline.operator_edges import OperatorEdges
from pipeline.spec import JobSpec, load


async def understand(spec: JobSpec, state: Path, addresses: Addresses, line: bytes) -> Outcome:
    """Traced, as in the job."""
    edges = OperatorEdges(spec, addresses, state, spec.name, "post")
    try:
        await edges.connect()
        material = parse_line(line, "one.jsonl:1")
        envelope = Envelope(
            material_id=material.material_id,
            kind=material.kind,
            base=str(spec.source.path.parent),
            line=line,
            entered_at=time.time(),
            trace_id="ab" * 16,
            material=material,
        )
        return await edges.understand(envelope)
    finally:
        edges.close()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[3], type=Addresses)
    made = asyncio.run(understand(load(Path(sys.argv[1])), Path(sys.argv[2]), given, sys.argv[4].encode()))
    sys.stdout.buffer.write(msgspec.json.encode(made))
