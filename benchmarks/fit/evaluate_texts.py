"""Judge texts end to end without servers: embedding, exact recall of ten, fine ranking.

    python -m benchmarks.fit.evaluate_texts FOLDER [--predictions FILE]

FOLDER holds `refs.jsonl` and `queries.jsonl` (`ref_id` or `query_id`, `text`) and `gt.jsonl` (`query_id`, `ref_id` or
null, `origin`). An exam, not a lesson: nothing is fitted on it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fit.text_scores import average_precision, embed, nearest
from vector_index.ranking.text import TextContainment
from vector_index.ranking.text_pair import TextProfile


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--predictions", type=Path, help="write every scored pair here, as JSON lines")
    parser.add_argument("--k", type=int, default=10)
    args = parser.parse_args()
    references, queries = read(args.folder / "refs.jsonl"), read(args.folder / "queries.jsonl")
    gold = {row["query_id"]: row for row in read(args.folder / "gt.jsonl")}

    began = time.process_time()
    asked, known = (embed([row["text"] for row in rows]) for rows in (queries, references))
    embedded = time.process_time()
    found = nearest(asked, known, args.k)
    ranker = TextContainment()
    searched = time.process_time()
    one = [TextProfile.of(row["text"]) for row in queries]
    other = [TextProfile.of(row["text"]) for row in references]
    scores = np.array([ranker.probability(one[q], other[r]) for q, r, _ in found])
    ranked = time.process_time()

    ids = [(queries[q]["query_id"], references[r]["ref_id"]) for q, r, _ in found]
    truth = np.array([gold[query]["ref_id"] == reference for query, reference in ids])
    positives = sum(row["ref_id"] is not None for row in gold.values())
    ap, recall = average_precision(scores, truth, positives)
    cosine_ap, _ = average_precision(np.array([cosine for _, _, cosine in found]), truth, positives)
    if args.predictions:
        rows = ({"query_id": q, "ref_id": r, "score": s} for (q, r), s in zip(ids, scores.tolist(), strict=True))
        args.predictions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(
        json.dumps(
            {
                "micro_ap": round(ap, 4),
                "recall_at_p90": round(recall, 4),
                "cosine_micro_ap": round(cosine_ap, 4),
                "recalled": round(float(truth.sum()) / positives, 4),
                "false_above_half": int(np.count_nonzero(~truth & (scores >= 0.5))),
                "true_below_half": int(np.count_nonzero(truth & (scores < 0.5))),
                "pairs": len(found),
                "positives": positives,
                "embed_us": round((embedded - began) / (len(queries) + len(references)) * 1e6, 1),
                "rank_us": round((ranked - searched) / len(found) * 1e6, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
