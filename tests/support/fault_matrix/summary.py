"""`summary.json` of the matrix: written after each case, and taken up again by a run that goes on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
from fault_matrix.verdict import Case, totals

NAME = "summary.json"


class Summary(msgspec.Struct, kw_only=True):
    """The cases so far. `seconds`: over all runs that filled it."""

    source: str
    seed: int
    seconds: float = 0.0
    cases: list[Case] = []

    @classmethod
    def opened(cls, folder: Path, source: str, seed: int | None, resume: bool) -> Summary:
        """A new one, or with `resume` the one in a folder.

        Raises:
            ValueError: that one has another source or another seed, so its pairs and moments are not these.
        """
        path = folder / NAME
        if not resume or not path.exists():
            return cls(source=source, seed=random.randrange(10**6) if seed is None else seed)
        found = msgspec.json.decode(path.read_bytes(), type=cls)
        if found.source != source or seed not in (None, found.seed):
            raise ValueError(f"{path} has --source {found.source} --seed {found.seed}: name these, or another --out")
        return found

    def take(self, case: Case, order: Sequence[str]) -> None:
        """Add a case, in place of an earlier one of its name; kept in the matrix's order."""
        kept = [each for each in self.cases if each.name != case.name]
        self.cases = sorted([*kept, case], key=lambda each: order.index(each.name))

    def write(self, folder: Path) -> None:
        """Write it, with the totals first; a reader never sees half of it."""
        body = totals(self.cases) | msgspec.to_builtins(self)
        unfinished = folder / f"{NAME}.tmp"
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(body)))
        unfinished.replace(folder / NAME)
