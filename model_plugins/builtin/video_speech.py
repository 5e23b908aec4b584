"""`video-speech@1`: what is said in a video, in English."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent
from materials.records import Feature
from model_plugins.builtin import sample_sound
from model_plugins.builtin.image_ocr import decoded
from model_plugins.features import json_feature
from model_plugins.features.sound_windows import WINDOW, cut
from model_plugins.protocol import Example, Manifest, ModelRef, Tensors, VideoMedia

SEGMENTS, BYTES = 32, 4096
MODEL = ModelRef(
    name="speech",
    inputs={"sound": ("INT16", (WINDOW,))},
    outputs=("segments", "text"),
    max_batch=1,
)
"""Whisper tiny.en, an extra of the local stack: `sosie up --models speech`."""

LEAST_SCORE = 0.3
"""Mean probability of a segment's tokens: what Whisper is less sure of is mostly noise that it took for words."""
MOST_BYTES = 24_000


class VideoSpeech:
    """Video -> schema `transcript`: JSON `{"language", "heard_s", "text", "segments": [{"begin", "end", "score",
    "text"}, …]}`; seconds from the beginning of the clip. No speech: no segments. No sound: no feature.

    The first ten minutes are heard (`heard_s`). Other languages than English give nonsense or nothing.
    """

    manifest = Manifest(
        name="video-speech",
        version=1,
        media="video",
        schema="transcript",
        model=MODEL,
        hears=True,
        summary="what is said in a video, in English, with the seconds at which it is said",
    )
    model_outputs: ClassVar = {"segments": ("FP32", (SEGMENTS, 4)), "text": ("UINT8", (BYTES,))}

    def prepare(self, media: VideoMedia) -> dict[str, NDArray[Any]] | None:
        """`sound` and `spans`, see `sound_windows.cut`; None for a clip without sound."""
        return cut(media.sound)

    def interpret(self, outputs: Tensors) -> Feature:
        """The segments of all windows, one behind the other.

        Raises:
            Permanent: outputs of other shapes, or not-a-numbers.
        """
        rows, text, spans = outputs["segments"], outputs["text"], outputs["spans"]
        if rows.shape[1:] != (SEGMENTS, 4) or text.ndim != 2 or not len(rows) == len(text) == len(spans):
            raise Permanent(f"model {MODEL.name!r} gave segments {rows.shape} and text {text.shape}")
        if not bool(np.isfinite(rows).all()):
            raise Permanent(f"model {MODEL.name!r} gave not-a-numbers")
        segments: list[dict[str, Any]] = []
        used = 0
        for window, letters, (start, stop) in zip(rows, text, spans.tolist(), strict=True):
            place = 0
            for begin, end, log_probability, size in window.tolist():
                count = max(0, int(size))
                words = decoded(letters[place : place + count])
                place += count
                score = math.exp(min(0.0, log_probability))
                used += len(words.encode())
                if not words or score < LEAST_SCORE or used > MOST_BYTES:
                    continue
                first = min(max(start + begin, start), stop)
                segments.append(
                    {
                        "begin": round(first, 2),
                        "end": round(min(max(start + end, first), stop), 2),
                        "score": round(score, 4),
                        "text": words,
                    }
                )
        return json_feature.pack(
            "transcript",
            {
                "language": "en",
                "heard_s": round(float(spans[-1][1]), 2),
                "text": " ".join(segment["text"] for segment in segments),
                "segments": segments,
            },
        )

    def stand_in(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What a model might answer, for checks without one: one segment, of which the loudness is said."""
        words = f"peak {int(np.abs(inputs['sound'].astype(np.int32)).max())}".encode()
        segments, text = np.zeros((1, SEGMENTS, 4), np.float32), np.zeros((1, BYTES), np.uint8)
        segments[0, 0] = 0.5, 1.5, -0.1, len(words)
        text[0, : len(words)] = np.frombuffer(words, np.uint8)
        return {"segments": segments, "text": text}

    def examples(self) -> list[Example]:
        """Synthetic sound (none of it speech)."""
        return sample_sound.examples()
