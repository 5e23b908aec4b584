"""The part of a job spec that Flink keeps a job alive by: checkpoints, restarts, where state lies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Checkpoints(_Frozen):
    """How often, and how patiently, Flink takes a consistent picture of a streaming job; all times in seconds.

    A checkpoint ends each Python bundle, and so waits for all calls under way: a short `interval_s` idles the models.
    `record_deadline_s` bounds that wait: a record that takes longer, over all its attempts, is given up there and goes
    to the retry hand-over. `tolerated_failures`: failed checkpoints in a row before the job restarts. `unaligned`: a
    barrier overtakes the records that wait in front of an operator (they become part of the checkpoint) once it has
    waited for `aligned_timeout_s`; Flink does so only where records are redistributed, and this job's own operators
    stand one to one. `retained`: how many completed checkpoints of a job are kept; the newest outlives a job that was
    cancelled or failed.
    """

    interval_s: Seconds = 5.0
    timeout_s: Seconds = 600.0
    min_pause_s: Annotated[float, Field(ge=0, le=86_400)] = 1.0
    tolerated_failures: Annotated[int, Field(ge=0, le=1000)] = 10
    unaligned: bool = False
    aligned_timeout_s: Annotated[float, Field(ge=0, le=86_400)] = 2.0
    retained: Annotated[int, Field(ge=1, le=100)] = 2
    record_deadline_s: Seconds = 300.0

    def settings(self) -> dict[str, str]:
        """As Flink names them; the storage folder is named by whoever knows the state folder."""
        found = {
            "execution.checkpointing.interval": _millis(self.interval_s),
            "execution.checkpointing.timeout": _millis(self.timeout_s),
            "execution.checkpointing.min-pause": _millis(self.min_pause_s),
            "execution.checkpointing.tolerable-failed-checkpoints": str(self.tolerated_failures),
            "execution.checkpointing.num-retained": str(self.retained),
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            "execution.checkpointing.unaligned.enabled": str(self.unaligned).lower(),
        }
        if self.unaligned:
            found["execution.checkpointing.aligned-checkpoint-timeout"] = _millis(self.aligned_timeout_s)
        return found


class Restart(_Frozen):
    """What Flink does when a task fails. `exponential`: waits longer each time, from `first_s` to `longest_s`, and
    starts over with short waits after `calm_s` without a failure; `fixed`: waits `first_s`. Both give the job up after
    `attempts` failures without a calm (0: never; only `exponential`); `none`: the first failure ends the job."""

    strategy: Literal["exponential", "fixed", "none"] = "exponential"
    first_s: Seconds = 0.5
    longest_s: Seconds = 10.0
    calm_s: Seconds = 60.0
    attempts: Annotated[int, Field(ge=0, le=1_000_000)] = 20

    def settings(self) -> dict[str, str]:
        """As Flink names them."""
        if self.strategy == "none":
            return {"restart-strategy.type": "none"}
        if self.strategy == "fixed":
            return {
                "restart-strategy.type": "fixed-delay",
                "restart-strategy.fixed-delay.attempts": str(self.attempts or 2**31 - 1),
                "restart-strategy.fixed-delay.delay": _millis(self.first_s),
            }
        prefix = "restart-strategy.exponential-delay."
        found = {
            "restart-strategy.type": "exponential-delay",
            prefix + "initial-backoff": _millis(self.first_s),
            prefix + "max-backoff": _millis(max(self.first_s, self.longest_s)),
            prefix + "reset-backoff-threshold": _millis(self.calm_s),
        }
        if self.attempts:
            found[prefix + "attempts-before-reset-backoff"] = str(self.attempts)
        return found


class StateBackend(_Frozen):
    """Where operators keep their state. `hashmap`: on the TaskManager's heap, right for this job's own graph, whose
    state is source positions and pending files; `rocksdb`: on disk, with `incremental` checkpoints, for keyed state
    larger than memory."""

    kind: Literal["hashmap", "rocksdb"] = "hashmap"
    incremental: bool = True

    def settings(self) -> dict[str, str]:
        """As Flink names them."""
        found: dict[str, str] = {"state.backend.type": self.kind}
        if self.kind == "rocksdb":
            found["execution.checkpointing.incremental"] = str(self.incremental).lower()
        return found


def _millis(seconds: float) -> str:
    return f"{round(seconds * 1000)} ms"
