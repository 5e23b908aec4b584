"""`python -m index_kills --out FOLDER`: kill, damage, starve; then say in `summary.json` what was lost.

Exit codes: 0 nothing was lost or changed, 1 something was, or a case could not be run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import msgspec
from index_kills import cases
from index_kills.campaign import Done, one_damage, one_life, plan, said, summary


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="make kills", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/kills"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="for the same moments again")
    parser.add_argument("--lanes", type=int, default=2, help="services that are killed side by side")
    options = parser.parse_args()
    begun = time.monotonic()
    done: list[Done] = []
    with ProcessPoolExecutor(options.lanes, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(one_life, moments, options.seed + number)
            for number, moments in enumerate(plan(options.kills, options.seed))
        ]
        jobs += [pool.submit(one_damage, name) for name in cases.CASES]
        for job in as_completed(jobs):
            for case in job.result():
                done.append(case)
                sys.stdout.write(f"{len(done):4}  {case.point:16} {case.name:24} {said(case)}\n")
                sys.stdout.flush()
    found = summary(done, options.seed, time.monotonic() - begun)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "summary.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    line = ", ".join(f"{found[name]} {name}" for name in ("points", "lost", "changed", "two_ids", "unfound", "errors"))
    sys.stdout.write(f"{line} in {found['seconds']} s -> {path}\n")
    return 0 if not any(found[name] for name in ("lost", "changed", "two_ids", "unfound", "errors")) else 1


if __name__ == "__main__":
    sys.exit(main())
