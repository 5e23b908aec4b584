"""A sound track cut into half-minute windows, the unit in which speech and audio events are recognised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import SOUND_RATE

WINDOW_SECONDS = 30
WINDOW = WINDOW_SECONDS * SOUND_RATE
MOST_WINDOWS = 20
"""Ten minutes; what comes after is not heard."""
SILENT = 1e-3
"""A track that never goes beyond this (-60 dB of full scale) is taken for silence."""

_SEARCH = 5 * SOUND_RATE
_STEP = SOUND_RATE // 10


def cut(sound: NDArray[np.float32] | None) -> dict[str, NDArray[Any]] | None:
    """float32 [m], -1..1, at 16 kHz -> windows, or None where nothing is to be heard.

    A window ends in the quietest tenth of a second of its last five seconds, so that few words are cut in two.

    Returns:
        `sound`: int16 [n, 480000], zeros behind each window's end; `spans`: float64 [n, 2], seconds at which it begins
        and ends in the track.
    """
    if sound is None or sound.size < _STEP or not float(np.abs(sound).max()) > SILENT:  # not greater: also NaN
        return None
    spans: list[tuple[int, int]] = []
    begin = 0
    while begin < len(sound) and len(spans) < MOST_WINDOWS:
        end = len(sound) if len(sound) - begin <= WINDOW else _quietest(sound, begin + WINDOW - _SEARCH, begin + WINDOW)
        spans.append((begin, end))
        begin = end
    windows = np.zeros((len(spans), WINDOW), np.int16)
    for row, (begin, end) in zip(windows, spans, strict=True):
        row[: end - begin] = np.rint(sound[begin:end].clip(-1, 1) * 32767).astype(np.int16)
    return {"sound": windows, "spans": np.array(spans, np.float64) / SOUND_RATE}


def _quietest(sound: NDArray[np.float32], first: int, last: int) -> int:
    """The middle of the quietest tenth of a second between two places; the latest of equal ones."""
    energy = np.square(sound[first:last].reshape(-1, _STEP)).sum(axis=1)
    return first + (len(energy) - 1 - int(energy[::-1].argmin())) * _STEP + _STEP // 2
