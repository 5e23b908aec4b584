"""A row of the fault matrix, short: every Python worker killed, and Redis right after them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fault_matrix.bed import Bed
from fault_matrix.case import Load, run_case
from fault_matrix.faults import Fault
from fault_matrix.records import MediaKit

pytestmark = [pytest.mark.stack, pytest.mark.fault]


def test_kills_under_load_lose_nothing_and_give_no_second_id(tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        kit = MediaKit(bed.input)
        fault = Fault("short", ("python-worker", "redis"), apart=0.5)
        case = run_case(bed, kit, fault, Load(records=100, rate=25.0), random.Random(11))
    assert not case.error, case.error
    assert case.sound, case
    assert case.sent == case.outcomes >= 150
    assert len(case.killed) >= 2
    assert case.recovery_s > 0
