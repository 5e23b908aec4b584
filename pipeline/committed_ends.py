"""A consumer group is told where a bounded run on Kafka has ended.

`python -m pipeline.committed_ends --state DIR RUN` does it in a process of its own, for those without a JVM.

Flink commits offsets after a checkpoint, and closes the consumer of a source that was read to its end in the same
moment: the last commit, which is the only one of a short run, may be lost. A batch job has no checkpoints at all. So
whoever sees a run end commits here, once each record of it has its outcome.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from materials.errors import SosieError
from pipeline.bounded_end import CommittedCount
from pipeline.flink.kafka_offsets import between, left_to_commit
from pipeline.kafka.settings import KafkaSource
from reconcile.ledger.rows import rows_folder
from reconcile.ledger.runs import RunRecord, find_run

log = structlog.get_logger(__name__)


def has_ends(run: RunRecord | None) -> bool:
    """Whether a run reads Kafka up to an end."""
    return run is not None and run.source.get("kind") == "kafka" and bool(run.ends)


def commit_ends(state: Path, run_id: str) -> bool:
    """Commit the end of a run, unless its group is further already; whether it stands there now.

    A run whose records have not all got an outcome commits nothing, so that the next one reads them again. Brokers that
    do not take it are told of in the log: the next run repeats records then, which the index answers as before.
    """
    run = find_run(state, run_id)
    if run is None or not has_ends(run):
        return False
    if CommittedCount(rows_folder(state), run_id).look() < between(run.starts, run.ends):
        return False
    source = KafkaSource.model_validate(run.source)
    group = source.group or f"sosie-{run.job}"
    from pipeline.flink import environment
    from pipeline.flink.kafka_admin import KafkaAdmin

    environment.prepare_gateway(state / "log")
    try:
        with KafkaAdmin(run.brokers["source"], source.properties) as admin:
            admin.commit(group, left_to_commit(run.ends, admin.committed(group)))
    except SosieError as error:
        log.warning("ends_not_committed", run=run_id, group=group, error=str(error))
        return False
    return True


def main(argv: Sequence[str]) -> int:
    """Exit code 0: the group stands at the run's end."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.committed_ends", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the system's folder")
    parser.add_argument("run", help="its id")
    options = parser.parse_args(argv)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    return 0 if commit_ends(options.state, options.run) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
