"""Two hundred kills: which moments, in which lives, and what came of them."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Sequence

import msgspec
from index_kills import cases
from index_kills.book import Verdict
from index_kills.damage import Skipped
from index_kills.life import Moment, live

UNDER_LOAD = (
    ["random"] * 6
    + ["before-log"] * 2
    + ["in-log"] * 3
    + ["after-log"] * 3
    + ["before-answer"] * 2
    + ["snapshot-begin", "snapshot-space", "snapshot-space", "snapshot-rename", "snapshot-rename", "snapshot-drop"]
    + ["seal-begin", "seal-begin", "seal-swap", "seal-swap", "compaction", "compaction"]
    + ["restore", "restore", "restore-rows", "restore-rows"]
)
A_LIFE = 10
MAX_MS = 60
OFTEN = ("before-log", "in-log", "after-log", "before-answer")


class Done(msgspec.Struct):
    """One case of the summary."""

    name: str
    point: str
    seconds: float
    verdict: Verdict
    error: str = ""


def plan(kills: int, seed: int) -> list[list[Moment]]:
    """Lives of up to ten kills; every point is there when there are forty or more."""
    chance = random.Random(seed)
    lives = []
    bag: list[str] = []
    for start in range(0, kills, A_LIFE):
        points: list[str] = []
        while len(points) < min(A_LIFE, kills - start):
            if not bag:
                bag = chance.sample(UNDER_LOAD, len(UNDER_LOAD))
            points.append(bag.pop())
        lives.append([_moment(point, chance) for point in points])
    return lives


def _moment(point: str, chance: random.Random) -> Moment:
    if point == "random":
        return Moment(point, chance.randint(0, MAX_MS))
    return Moment(point, chance.randint(1, 8) if point in OFTEN else 1)


def one_life(moments: Sequence[Moment], seed: int) -> list[Done]:
    """All its kills; a life that breaks off is a case with an error."""
    done: list[Done] = []
    begun = time.monotonic()
    try:
        for case in live(moments, seed):
            now = time.monotonic()
            done.append(Done(case.name, case.moment.point, round(now - begun, 2), case.verdict))
            begun = now
    except Exception:  # counted as an error of the summary, with the trace; the other lives go on
        point = moments[len(done)].point if len(done) < len(moments) else "end"
        name = f"seed {seed}, kill {len(done)}"
        done.append(Done(name, point, round(time.monotonic() - begun, 2), Verdict(), traceback.format_exc()))
    return done


def one_damage(name: str) -> list[Done]:
    """One of `cases.CASES`; one that this machine does not allow is said to be skipped."""
    begun = time.monotonic()
    verdict, error = Verdict(), ""
    try:
        verdict = cases.run(name)
    except Skipped as reason:
        verdict.note(f"skipped: {reason}")
    except Exception:  # counted as an error of the summary, with the trace; the other damages go on
        error = traceback.format_exc()
    return [Done(name, "damage", round(time.monotonic() - begun, 2), verdict, error)]


def summary(done: Sequence[Done], seed: int, seconds: float) -> dict[str, object]:
    """What `summary.json` holds."""
    total = Verdict()
    for case in done:
        total.add(case.verdict)
    killed = [case for case in done if case.point != "damage" and not case.error]
    return {
        "points": len(killed),
        "lost": total.lost,
        "changed": total.changed,
        "two_ids": total.two_ids,
        "unfound": total.unfound,
        "errors": sum(bool(case.error) for case in done),
        "checked": total.checked,
        "by_point": dict(sorted(Counter(case.point for case in killed).items())),
        "seed": seed,
        "seconds": round(seconds, 1),
        "cases": msgspec.to_builtins(done),
    }


def said(case: Done) -> str:
    """One line for a person."""
    if case.error:
        return case.error.strip().splitlines()[-1]
    return case.verdict.notes[0] if case.verdict.notes else "sound"
