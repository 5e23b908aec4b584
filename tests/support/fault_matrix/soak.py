"""`make soak`: hours of load with a random fault in every case, on one system; nothing is lost and memory stays flat.

Exit codes: 0 every case was sound and no part grew; 1 otherwise.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import msgspec
from fault_matrix.bed import Bed
from fault_matrix.case import Load, run_case
from fault_matrix.faults import Fault, matrix
from fault_matrix.memory import growing, resident
from fault_matrix.records import MediaKit
from fault_matrix.verdict import Case, row, totals

HOURS = 2.0
RECONCILE_EVERY = 10
"""Cases; a report looks back over all that a case has sent, and would be most of the soak's work."""


def main() -> int:
    """The program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--rate", type=float, default=25.0, help="records a second")
    parser.add_argument("--source", choices=("kafka", "files"), default="kafka")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    chance = random.Random(options.seed)
    done: list[Case] = []
    memory: dict[str, list[int]] = defaultdict(list)
    folder = Path(tempfile.mkdtemp(prefix="sosie-soak-"))
    try:
        # Behind proxies, so that kills and a bad network take turns on one system.
        with Bed(folder, proxied=True, kafka=options.source == "kafka") as bed:
            kit = MediaKit(bed.input)
            faults = [fault for fault in matrix(options.seed, bed.kafka) if bed.can(fault.kills, fault.server)]
            while time.monotonic() - begun < options.hours * 3600:
                fault = _numbered(chance.choice(faults), len(done))
                case = run_case(
                    bed, kit, fault, Load(rate=options.rate, reconcile=len(done) % RECONCILE_EVERY == 0), chance
                )
                done.append(case)
                for name, size in resident([bed.stack_state, bed.job_state, bed.cluster.folder]).items():
                    memory[name].append(size)
                sys.stdout.write(row(case) + "\n")
                sys.stdout.flush()
                _write(options.out, done, memory, options.seed, time.monotonic() - begun)
                kit.forget()
                bed.results.seen.clear()
                if case.error:
                    break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    grown = growing(memory)
    sound = bool(done) and all(case.sound for case in done) and not grown
    sys.stdout.write(f"{'sound' if sound else 'NOT SOUND'}; grown: {grown or 'nothing'} -> {options.out}\n")
    return 0 if sound else 1


def _numbered(fault: Fault, number: int) -> Fault:
    return msgspec.structs.replace(fault, name=f"{number:03}-{fault.name}")


def _write(out: Path, done: list[Case], memory: dict[str, list[int]], seed: int, seconds: float) -> None:
    body = totals(done) | {
        "seed": seed,
        "seconds": round(seconds, 1),
        "memory_mb": {name: [round(size / 2**20) for size in sizes] for name, sizes in memory.items()},
        "grown": growing(memory),
        "cases": msgspec.to_builtins(done),
    }
    (out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(body)))


if __name__ == "__main__":
    sys.exit(main())
