"""A row of the fault matrix, short: every Python worker killed, and right after them the index out of reach."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fault_matrix.bed import Bed
from fault_matrix.case import Load, run_case
from fault_matrix.faults import Fault
from fault_matrix.records import MediaKit
from sosie_system import System

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.soak]


def test_a_killed_worker_and_a_cut_connection_lose_nothing_and_give_no_second_id(
    system: System, tmp_path: Path
) -> None:
    fault = Fault("short", ("python-worker",), network="reset", server="index", held=2.0)
    with Bed(tmp_path, proxied=True, running=system.state) as bed:
        case = run_case(bed, MediaKit(bed.input), fault, Load(records=50, after=60, reconcile=False), random.Random(11))
    assert not case.error, case.error
    assert case.sound, case
    assert case.sent == case.outcomes >= 80
    assert len(case.killed) >= 2
    assert case.recovery_s > 0
