"""Ctrl-C is heard wherever the interpreter is."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pipeline.interrupts import StopWish


@pytest.fixture
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Finalized:
    """Is interrupted while the interpreter drops it, where an exception would be ignored."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


@pytest.mark.usefixtures("default_handler")
def test_a_wish_survives_an_interrupt_inside_a_finalizer() -> None:
    with StopWish().listening() as wish:
        Finalized()
        assert wish.asked
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("default_handler")
def test_a_second_one_interrupts() -> None:
    with StopWish().listening() as wish:
        os.kill(os.getpid(), signal.SIGINT)
        assert wish.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_handler_of_ones_own_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopWish().listening() as wish:
            os.kill(os.getpid(), signal.SIGINT)
        assert not wish.asked
    finally:
        signal.signal(signal.SIGINT, before)
