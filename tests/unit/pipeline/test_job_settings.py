"""What a spec says of checkpoints and restarts, as Flink is told it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.job_settings import Checkpoints, Restart, StateBackend


def test_checkpoints_in_flinks_words() -> None:
    told = Checkpoints(interval_s=2.5, retained=4).settings()
    assert told["execution.checkpointing.interval"] == "2500 ms"
    assert told["execution.checkpointing.num-retained"] == "4"
    assert told["execution.checkpointing.unaligned.enabled"] == "false"
    assert "execution.checkpointing.aligned-checkpoint-timeout" not in told
    assert Checkpoints(unaligned=True).settings()["execution.checkpointing.aligned-checkpoint-timeout"] == "2000 ms"


@pytest.mark.parametrize(
    ("restart", "key", "value"),
    [
        (Restart(strategy="none"), "restart-strategy.type", "none"),
        (Restart(strategy="fixed", attempts=3), "restart-strategy.fixed-delay.attempts", "3"),
        (Restart(strategy="fixed", attempts=0), "restart-strategy.fixed-delay.attempts", str(2**31 - 1)),
        (Restart(longest_s=4), "restart-strategy.exponential-delay.max-backoff", "4000 ms"),
        (Restart(first_s=9, longest_s=4), "restart-strategy.exponential-delay.max-backoff", "9000 ms"),
        (Restart(attempts=7), "restart-strategy.exponential-delay.attempts-before-reset-backoff", "7"),
    ],
)
def test_restarts_in_flinks_words(restart: Restart, key: str, value: str) -> None:
    assert restart.settings()[key] == value


def test_a_job_that_may_always_restart_names_no_number() -> None:
    assert not any("attempts" in key for key in Restart(attempts=0).settings())


def test_large_state_goes_to_rocksdb() -> None:
    assert StateBackend().settings() == {"state.backend.type": "hashmap"}
    assert StateBackend(kind="rocksdb").settings() == {
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
    }


@pytest.mark.parametrize("wrong", [{"interval_s": 0}, {"retained": 0}, {"record_deadline_s": -1}, {"intervals": 3}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Checkpoints.model_validate(wrong)
