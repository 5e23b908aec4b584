"""The comparison as Flink SQL: Python writes the statements, the JVM does the work.

First the sides are compared by bucket of ids: count, distinct count, and the sum mod 2^64 of a hash (BIGINT wraps).
Sums do not tell which record differs, but equal sums of 64 well-mixed bits leave no room for one that does. Only the
buckets that differ are then joined by id.

Flink SQL has no cheap hash of 64 bits: an MD5 of each record took as long as all the rest. HASH_CODE of a text is
Java's polynomial of its letters, and a sum of those would not tell two content IDs that changed places. So two linear
mixtures of the columns' hashes, one with the id read backwards, are multiplied: two records a, b that exchange their
answers change the sum by a multiple of (answer a - answer b) * (mixture of the ids a - that of b), and two ids that
collide forwards ("Aa", "BB") do not backwards.
"""

# ruff: noqa: S608  (all that is put in are constants, numbers, and texts that `_text` quotes)
from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from reconcile.comparison.inputs import Inputs, ResultFiles
from reconcile.ledger.rows import WINDOW_S

BUCKETS = 4096
_MANY_BUCKETS = BUCKETS // 2
_BUCKET = f"MOD(HASH_CODE(material_id), {BUCKETS})"
_GOOD = "('unique', 'duplicate', 'deleted')"
_ODDS = (7046029254386353131, 2870177450012600261, 5871781006564002453, 6364136223846793005)
"""Multipliers of well-known mixing functions (xxHash, splitmix64, PCG): odd, and without a pattern in their bits."""
_MANY_RUNS = 4
_LATENCY_STEP = 0.01
"""Latencies are counted in classes that are one per cent wide."""
FIGURES = ("window", "kind", "outcome", "cause", "attempts", "plugins", "missing", "latency_class", "n", "longest")


def latency_of(latency_class: int) -> float:
    """Seconds in the middle of a class."""
    return float((1.0 + _LATENCY_STEP) ** (latency_class + 0.5)) / 1000.0


def tables(inputs: Inputs) -> list[str]:
    """CREATE statements of the sides, and views that give them a common shape."""
    runs = "|".join(re.escape(run) for run in inputs.runs) or "(?!)"
    ledger = (
        "`window` BIGINT, kind STRING, material_id STRING, revision BIGINT, source STRING, stage STRING, run STRING,"
        " outcome STRING, content_id STRING, chain STRING, policy STRING, entered_at DOUBLE, `at` DOUBLE,"
        " attempts INT, cause STRING, plugins STRING, missing STRING"
    )
    made = [
        _table(
            "expected",
            "chain STRING, kind STRING, material_id STRING, revision BIGINT, source STRING, file_at DOUBLE",
            inputs.expected,
        ),
        _table(
            "index_decisions",
            "policy STRING, material_id STRING, revision BIGINT, outcome STRING, content_id STRING, latest BOOLEAN,"
            " live BOOLEAN, `now` STRING",
            inputs.index,
        ),
        _table(
            "redis_outcomes",
            "policy STRING, material_id STRING, revision BIGINT, outcome STRING, content_id STRING, `now` STRING",
            inputs.redis,
        ),
        _table("ledger", ledger, inputs.ledger, rf".*/({runs})-[^/]*[.]jsonl"),
    ]
    return made + _results(inputs.results)


def _results(results: Sequence[ResultFiles]) -> list[str]:
    """The view `results`. A table for each run makes a source of each, which a day of hourly runs does not bear: then
    one table reads the folders of all, and a file's folder tells its chain."""
    columns = "material_id STRING, revision BIGINT, outcome STRING, content_id STRING"
    answer = "material_id, revision, outcome, COALESCE(content_id, '') AS content_id"
    made, picked = [], []
    parents = {result.folder.parent for result in results}
    if len(results) > _MANY_RUNS and len(parents) == 1:
        folders = "|".join(re.escape(result.folder.name) for result in results)
        columns = f"{columns}, `file.path` STRING NOT NULL METADATA"
        made.append(_table("results_of_all", columns, parents.pop(), rf".*/({folders})/[^/]*[.]jsonl"))
        chains = " ".join(f"WHEN {_text(result.folder.name)} THEN {_text(result.chain)}" for result in results)
        folder = "REGEXP_EXTRACT(`file.path`, '([^/]+)/[^/]+$', 1)"
        picked.append(f"SELECT CASE {folder} {chains} END AS chain, {answer} FROM results_of_all")
    else:
        for i, result in enumerate(results):
            made.append(_table(f"results_{i}", columns, result.folder, rf".*/{re.escape(result.prefix)}[^/]*[.]jsonl"))
            picked.append(f"SELECT {_text(result.chain)} AS chain, {answer} FROM results_{i}")
    nothing = (
        "SELECT chain, material_id, revision, kind AS outcome, kind AS content_id FROM expected WHERE chain <> chain"
    )
    return [*made, f"CREATE TEMPORARY VIEW results AS {' UNION ALL '.join(picked) or nothing}"]


def _by_run(late_s: float) -> str:
    """Sides that belong to a chain of runs, one row a record. `M`: it entered again, in a repair."""
    wrong = f"`window` <> CAST(FLOOR(entered_at / {WINDOW_S}) AS BIGINT) * {WINDOW_S}"
    none = "CAST(NULL AS STRING)"
    no_window = "CAST(NULL AS BIGINT)"
    return f"""
    SELECT 'E' AS side, chain, material_id, revision, {none} AS outcome, {none} AS content_id, kind,
           {no_window} AS `window`, source, file_at AS `at`, CAST(0 AS DOUBLE) AS took, 0 AS wrong, 0 AS late
    FROM expected
    UNION ALL
    SELECT CASE WHEN stage <> 'entered' THEN 'L' WHEN run = chain THEN 'N' ELSE 'M' END,
           chain, material_id, revision, outcome, content_id, kind, `window`,
           source, `at`, `at` - entered_at, CASE WHEN {wrong} THEN 1 ELSE 0 END,
           CASE WHEN `at` - entered_at > {late_s} THEN 1 ELSE 0 END
    FROM ledger
    UNION ALL
    SELECT 'S', chain, material_id, revision, outcome, content_id, {none}, {no_window}, {none},
           CAST(NULL AS DOUBLE), CAST(0 AS DOUBLE), 0, 0
    FROM results"""


def _by_policy() -> str:
    """Sides that belong to a policy: decisions in the ledger, in the index, and what Redis holds."""
    return f"""
    SELECT 'D' AS side, policy, material_id, revision, outcome, content_id, '' AS `now`, FALSE AS latest,
           FALSE AS live, `window`
    FROM ledger WHERE stage = 'ended' AND outcome IN {_GOOD}
    UNION ALL
    SELECT 'I', policy, material_id, revision, outcome, content_id, `now`, latest, live, CAST(NULL AS BIGINT)
    FROM index_decisions
    UNION ALL
    SELECT 'R', policy, material_id, revision, outcome, content_id, `now`, FALSE, FALSE, CAST(NULL AS BIGINT)
    FROM redis_outcomes WHERE outcome IN {_GOOD}"""


def sums(late_s: float) -> str:
    """Counts, distinct counts and sums by bucket; see `reconcile.comparison.sums.Sums`. Each file is read once and
    grouped into few rows; nothing is joined."""
    answer = ("outcome", "content_id")
    ended = f"stage <> 'entered' AND outcome IN {_GOOD}"
    shown = f"outcome IN {_GOOD} AND outcome <> 'deleted'"
    wrong = f"`window` <> CAST(FLOOR(entered_at / {WINDOW_S}) AS BIGINT) * {WINDOW_S}"
    flag = f"CASE WHEN {wrong} OR `at` - entered_at > {late_s} THEN 1 ELSE 0 END"
    entry = "CASE WHEN stage <> 'entered' THEN 'L' WHEN run = chain THEN 'N' ELSE 'M' END"
    of_ended = f"CASE WHEN stage = 'entered' THEN CAST(0 AS BIGINT) ELSE {_hash(*answer)} END"
    return " UNION ALL ".join(
        (
            _sums("'E'", "expected", scopes=("chain",)),
            _sums(
                entry,
                "ledger",
                full=of_ended,
                good=of_ended,
                where_good=ended,
                windows="`window`",
                flags=flag,
                scopes=("chain", "policy"),
            ),
            _sums("'S'", "results", full=_hash(*answer), scopes=("chain",)),
            _sums(
                "'I'",
                "index_decisions",
                full=_hash(*answer),
                good=_hash("`now`"),
                where_good="latest AND live",
                scopes=("policy",),
            ),
            _sums("'R'", "redis_outcomes", good=_hash("`now`"), where_good=shown, scopes=("policy",)),
        )
    )


def _sums(
    side: str,
    table: str,
    *,
    full: str = "",
    good: str = "",
    where_good: str = "FALSE",
    windows: str = "0",
    flags: str = "0",
    scopes: tuple[str, ...],
) -> str:
    """One file by bucket: sums of the hashes of its records' identities, of `full`, and of `good` where `where_good`
    holds. `side` is a constant, or an expression to group by."""

    def total(number: str) -> str:
        return f"SUM({number})" if number else "CAST(0 AS BIGINT)"

    only = f"FILTER (WHERE {where_good})" if good else ""
    # policies are compared by `full` and `good`
    ids = "SUM(n * id)" if "chain" in scopes else "CAST(0 AS BIGINT)"
    kept = ", ".join(name if name in scopes else f"'' AS {name}" for name in ("chain", "policy"))
    # Grouped by the 64 bits of an identity and not by its letters: numbers of fixed length take a third less time.
    by = ", ".join((*(() if side.startswith("'") else (side,)), *scopes, _BUCKET, _hash()))
    return f"""
    SELECT side, chain, policy, bucket, SUM(n) AS n, COUNT(*) AS distinct_n, {ids} AS ids, SUM(`full`) AS `full`,
           SUM(windows) AS windows, SUM(flags) AS flags, SUM(good_n) AS good_n,
           COUNT(*) FILTER (WHERE good_n > 0) AS good_distinct, SUM(good) AS good
    FROM (
        SELECT {side} AS side, {kept}, {_BUCKET} AS bucket, {_hash()} AS id,
               COUNT(*) AS n, {total(full)} AS `full`, SUM({windows}) AS windows, SUM({flags}) AS flags,
               COUNT(*) FILTER (WHERE {where_good}) AS good_n, {total(good)} {only} AS good
        FROM {table} GROUP BY {by}
    )
    GROUP BY side, chain, policy, bucket"""


def figures(window_s: int) -> str:
    """What ended, by everything that a report tells apart."""
    took = f"CAST(FLOOR(LN(GREATEST((`at` - entered_at) * 1000.0, 0.001)) / LN({1.0 + _LATENCY_STEP})) AS INT)"
    start = f"`window` - MOD(`window`, {window_s})"
    return f"""
    SELECT {start} AS `window`, kind, CASE stage WHEN 'entered' THEN 'entered' ELSE outcome END AS outcome, cause,
           attempts, plugins, missing, latency_class, COUNT(*) AS n, MAX(took) AS longest
    FROM (SELECT *, {took} AS latency_class, `at` - entered_at AS took FROM ledger
          WHERE stage <> 'entered' OR run = chain)
    GROUP BY {start}, kind, CASE stage WHEN 'entered' THEN 'entered' ELSE outcome END, cause, attempts, plugins,
             missing, latency_class"""


def by_id_of_runs(buckets: Collection[int], late_s: float) -> str:
    """Records of a chain whose sides differ; see `reconcile.comparison.findings.RunRow`."""

    def count(side: str) -> str:
        return f"COUNT(*) FILTER (WHERE side = '{side}')"

    answer = "CONCAT_WS('|', outcome, content_id)"
    return f"""
    SELECT * FROM (
        SELECT chain, material_id, revision, MAX(kind) AS kind, MAX(source) AS source,
               {count("E")} AS expected, {count("N")} AS entered, {count("L")} AS ended, {count("S")} AS results,
               {count("M")} AS repaired,
               MIN({answer}) FILTER (WHERE side = 'L') AS ended_least,
               MAX({answer}) FILTER (WHERE side = 'L') AS ended_most,
               MIN({answer}) FILTER (WHERE side = 'S') AS results_least,
               MAX({answer}) FILTER (WHERE side = 'S') AS results_most,
               MIN(`window`) FILTER (WHERE side IN ('N', 'M')) AS entered_window_least,
               MAX(`window`) FILTER (WHERE side IN ('N', 'M')) AS entered_window_most,
               MIN(`window`) FILTER (WHERE side = 'L') AS ended_window_least,
               MAX(`window`) FILTER (WHERE side = 'L') AS ended_window_most,
               MAX(`at`) FILTER (WHERE side = 'E') AS file_at, MAX(`at`) FILTER (WHERE side = 'N') AS entered_at,
               MAX(took) AS took, SUM(wrong) AS wrong, SUM(late) AS late
        FROM ({_by_run(late_s)}) {_where(buckets)}
        GROUP BY chain, material_id, revision
    )
    WHERE repaired > 0 OR expected <> entered OR expected <> ended OR expected <> results OR wrong > 0 OR late > 0
       OR ended_least <> results_least OR ended_most <> results_most
       OR entered_window_least <> ended_window_least OR entered_window_most <> ended_window_most"""


def by_id_of_policies(buckets: Collection[int]) -> str:
    """Decisions whose sides differ; see `reconcile.comparison.findings.PolicyRow`."""
    return f"""
    SELECT * FROM (
        SELECT policy, material_id, revision, outcome = 'deleted' AS gone,
               COUNT(*) FILTER (WHERE side = 'D') AS decided, COUNT(*) FILTER (WHERE side = 'I') AS indexed,
               COUNT(*) FILTER (WHERE side = 'R') AS in_redis,
               MAX(CASE WHEN latest THEN 1 ELSE 0 END) AS latest, MAX(CASE WHEN live THEN 1 ELSE 0 END) AS live,
               MIN(content_id) FILTER (WHERE side = 'D') AS ledger_least,
               MAX(content_id) FILTER (WHERE side = 'D') AS ledger_most,
               MAX(content_id) FILTER (WHERE side = 'I') AS index_decided,
               MAX(`now`) FILTER (WHERE side = 'I') AS index_now,
               MAX(`now`) FILTER (WHERE side = 'R') AS redis_now,
               MIN(outcome) FILTER (WHERE side = 'D') AS ledger_outcome,
               MAX(outcome) FILTER (WHERE side = 'I') AS index_outcome, MIN(`window`) AS `window`
        FROM ({_by_policy()}) {_where(buckets)}
        GROUP BY policy, material_id, revision, outcome = 'deleted'
    )
    WHERE (decided > 0 AND indexed = 0) OR ledger_least <> index_decided OR ledger_most <> index_decided
       OR ledger_outcome <> index_outcome
       OR (in_redis > 0 AND NOT gone AND (indexed = 0 OR latest = 0 OR live = 0 OR redis_now <> index_now))
       OR (in_redis = 0 AND latest = 1 AND live = 1)"""


def _where(buckets: Collection[int]) -> str:
    if len(buckets) > _MANY_BUCKETS:
        return ""
    return f"WHERE {_BUCKET} IN ({', '.join(str(bucket) for bucket in sorted(buckets))})"


def _hash(*more: str) -> str:
    """64 bits of a record's identity and more columns of it. Both factors are odd: neither cancels the other."""
    numbers = ["revision", *(f"CAST(HASH_CODE(COALESCE({column}, '')) AS BIGINT)" for column in more)]
    factors = []
    for text, odds in (("material_id", _ODDS), ("REVERSE(material_id)", _ODDS[::-1])):
        terms = [f"CAST(HASH_CODE({text}) AS BIGINT)", *numbers]
        mixture = " + ".join(f"{term} * {odd}" for term, odd in zip(terms, odds, strict=False))
        factors.append(f"(2 * ({mixture}) + 1)")
    return f"({' * '.join(factors)})"


def _table(name: str, columns: str, path: Path, pattern: str = "") -> str:
    options = {
        "connector": "filesystem",
        "path": path.as_uri(),
        "format": "json",
    }
    if pattern:
        options["source.path.regex-pattern"] = pattern
    quoted = ", ".join(f"{_text(key)} = {_text(value)}" for key, value in options.items())
    return f"CREATE TEMPORARY TABLE {name} ({columns}) WITH ({quoted})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
