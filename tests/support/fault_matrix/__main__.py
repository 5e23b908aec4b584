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

from fault_matrix.bed import Bed
from fault_matrix.case import Load, run_case
from fault_matrix.faults import Fault, matrix
from fault_matrix.records import MediaKit
from fault_matrix.summary import Summary
from fault_matrix.verdict import Case, row


def main() -> int:
    """The program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/faults"))
    parser.add_argument("--cases", default="*", help="names to run, as file patterns: 'kill-*,stall-redis'")
    parser.add_argument("--source", choices=("kafka", "files"), default="files", help="where the load comes from")
    parser.add_argument("--records", type=int, default=500, help="of each case, at least")
    parser.add_argument("--rate", type=float, default=25.0, help="records a second")
    parser.add_argument("--seed", type=int, help="for the same pairs and moments")
    parser.add_argument("--resume", action="store_true", help="run what summary.json has not, or has as unsound")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no case after so long")
    parser.add_argument("--keep", action="store_true", help="keep the state folders of the systems under test")
    parser.add_argument("--no-reconcile", action="store_true", help="spare the system its own report on each case")
    options = parser.parse_args()
    load = Load(options.records, options.rate, reconcile=not options.no_reconcile)
    kafka = options.source == "kafka"
    options.out.mkdir(parents=True, exist_ok=True)
    summary = Summary.opened(options.out, options.source, options.seed, options.resume)
    faults = matrix(summary.seed, kafka)
    patterns = options.cases.split(",")
    sound = {case.name for case in summary.cases if case.sound}
    wanted = [fault for fault in faults if any(fnmatch(fault.name, each) for each in patterns)]
    left = [fault for fault in wanted if fault.name not in sound]
    begun, before = time.monotonic(), summary.seconds
    for proxied in (False, True):
        some = [fault for fault in left if bool(fault.network) == proxied]
        for case in _cases(some, proxied, kafka, load, summary.seed, options.keep, begun + 60 * options.minutes):
            summary.take(case, [fault.name for fault in faults])
            summary.seconds = round(before + time.monotonic() - begun, 1)
            summary.write(options.out)
            sys.stdout.write(row(case) + "\n")
            sys.stdout.flush()
    sound = {case.name for case in summary.cases if case.sound}
    bad = [fault.name for fault in wanted if fault.name not in sound]
    said = f"NOT SOUND, or not run: {', '.join(bad)}" if bad else "sound" if wanted else "no such case"
    sys.stdout.write(f"{said} -> {options.out / 'summary.json'}\n")
    return 1 if bad or not wanted else 0


def _cases(
    faults: list[Fault], proxied: bool, kafka: bool, load: Load, seed: int, keep: bool, until: float
) -> Iterator[Case]:
    """The cases of one bed; a bed that does not become whole again is replaced. None begins after `until`."""
    left = list(faults)
    while left and time.monotonic() < until:
        folder = Path(tempfile.mkdtemp(prefix="sosie-faults-"))
        try:
            with Bed(folder, proxied, kafka) as bed:
                kit = MediaKit(bed.input)
                while left and time.monotonic() < until:
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


if __name__ == "__main__":
    sys.exit(main())
