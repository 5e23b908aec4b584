"""`make faults`: kill -9 and a bad network under steady load; then `summary.json` says what was lost.

Exit codes: 0 nothing was lost, doubled, dead or given two content IDs; 1 something was, or a case could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec
from fault_matrix.bed import Bed
from fault_matrix.case import Load, run_case
from fault_matrix.faults import Fault, matrix
from fault_matrix.records import MediaKit
from fault_matrix.verdict import Case, row, totals


def main() -> int:
    """The program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/faults"))
    parser.add_argument("--cases", default="*", help="names to run, as a file pattern: 'kill-*', 'stall-redis'")
    parser.add_argument("--source", choices=("kafka", "files"), default="files", help="where the load comes from")
    parser.add_argument("--records", type=int, default=500, help="of each case, at least")
    parser.add_argument("--rate", type=float, default=25.0, help="records a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="for the same pairs and moments")
    parser.add_argument("--keep", action="store_true", help="keep the state folders of the systems under test")
    parser.add_argument("--no-reconcile", action="store_true", help="spare the system its own report on each case")
    options = parser.parse_args()
    begun = time.monotonic()
    load = Load(options.records, options.rate, reconcile=not options.no_reconcile)
    kafka = options.source == "kafka"
    wanted = [fault for fault in matrix(options.seed, kafka) if fnmatch(fault.name, options.cases)]
    done: list[Case] = []
    options.out.mkdir(parents=True, exist_ok=True)
    for proxied in (False, True):
        faults = [fault for fault in wanted if bool(fault.network) == proxied]
        for case in _cases(faults, proxied, kafka, load, options.seed, options.keep):
            done.append(case)
            sys.stdout.write(row(case) + "\n")
            sys.stdout.flush()
            _write(options.out, done, options.source, options.seed, time.monotonic() - begun)
    sound = bool(done) and all(case.sound for case in done)
    sys.stdout.write(f"{'sound' if sound else 'NOT SOUND'} -> {options.out / 'summary.json'}\n")
    return 0 if sound else 1


def _cases(faults: list[Fault], proxied: bool, kafka: bool, load: Load, seed: int, keep: bool) -> Iterator[Case]:
    """The cases of one bed; a bed that does not become whole again is replaced."""
    left = list(faults)
    while left:
        folder = Path(tempfile.mkdtemp(prefix="sosie-faults-"))
        try:
            with Bed(folder, proxied, kafka) as bed:
                kit = MediaKit(bed.input)
                while left:
                    fault = left.pop(0)
                    case = run_case(bed, kit, fault, load, random.Random(f"{seed} {fault.name}"))
                    yield case
                    if case.error:
                        break
        finally:
            if keep:
                sys.stdout.write(f"state kept in {folder}\n")
            else:
                with contextlib.suppress(OSError):
                    shutil.rmtree(folder)


def _write(out: Path, done: list[Case], source: str, seed: int, seconds: float) -> None:
    body = totals(done) | {
        "source": source,
        "seed": seed,
        "seconds": round(seconds, 1),
        "cases": msgspec.to_builtins(done),
    }
    (out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(body)))


if __name__ == "__main__":
    sys.exit(main())
