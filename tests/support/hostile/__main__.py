"""`python -m hostile --out FOLDER`: more than 500 hostile inputs through the real job, told in `summary.json`.

Exit codes: 0 no crash, no forbidden request, a reason for each; 1 otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import msgspec

from deploy import stack
from deploy.addresses import GivenAddresses
from hostile.campaign import Campaign, photographs, temporary


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/hostile"))
    parser.add_argument("--mutants", type=int, default=520, help="made by the fuzzer; some turn out to be whole")
    parser.add_argument("--seed", type=int, default=6, help="of the fuzzer")
    parser.add_argument("--share", type=int, default=1, help="take every n-th of the other inputs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with temporary() as folder:
        state = Path(folder) / "state"
        try:
            stack.up(state, GivenAddresses())
            campaign = Campaign(Path(folder) / "job", photographs(), options.mutants, options.seed, options.share)
            found = campaign.run(state)
        finally:
            stack.down(state)
            for log in ("job/job.log", "job/input/hostile.jsonl"):
                if (Path(folder) / log).exists():
                    shutil.copy(Path(folder) / log, options.out)
    path = options.out / "summary.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    for fault in found.faults:
        sys.stdout.write(f"{fault.name}: {fault.outcome or 'no outcome'} {fault.reason}\n")
    sys.stdout.write(
        f"{found.inputs} inputs: {found.crashes} crashes, {found.forbidden_requests} forbidden requests, "
        f"{found.without_reason} without a reason, at most {found.max_rss_mb} MB, {found.seconds} s -> {path}\n"
    )
    return 0 if found.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
