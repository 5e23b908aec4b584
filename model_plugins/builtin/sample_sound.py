"""Small synthetic clips with a sound track, for the examples of plug-ins that hear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.protocol import SOUND_RATE, Example, VideoMedia


def chord(seconds: float) -> NDArray[np.float32]:
    """Three notes that swell twice a second: float32 [seconds * 16000], -0.5..0.5."""
    time = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    notes = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    return np.asarray(notes / 6 * np.square(np.sin(2 * np.pi * time)), dtype=np.float32)


def clip(sound: NDArray[np.float32] | None, seconds: float) -> VideoMedia:
    """Frames of one scene, with that track."""
    count = max(1, int(seconds * 2))
    frames = np.repeat(gradient_scene(18, 32, 1)[None], count, axis=0)
    return VideoMedia(frames, np.arange(count) / 2.0, seconds, 32, 18, sound)


def examples() -> list[Example]:
    """A short clip, one longer than a window, one without sound."""
    return [
        Example("four seconds of a chord", clip(chord(4), 4)),
        Example("longer than one window", clip(chord(41), 41)),
        Example("a clip without sound", clip(None, 2)),
    ]
