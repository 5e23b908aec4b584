"""Hostile inputs through the real job, a sample of `make hostile`: no crash, no forbidden call, a reason for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.campaign import Campaign, photographs
from sosie_system import System

pytestmark = [pytest.mark.stack, pytest.mark.fault]


def test_hostile_inputs_end_with_a_reason_and_harm_nobody(system: System, tmp_path: Path) -> None:
    found = Campaign(tmp_path / "hostile", photographs(), mutants=14, seed=3, share=7).run(system.state)
    assert found.inputs >= 60
    assert found.faults == []
    assert (found.crashes, found.forbidden_requests, found.without_reason) == (0, 0, 0)
    assert sum(found.by_reason.values()) == found.inputs
    assert len(found.listeners) >= 3, "somebody listened where nobody may call"
    assert found.bait_requests > 0, "the hostile host was called, or its tricks were never tried"
    assert found.memory_samples > 0
    assert found.max_rss_mb <= 1500
