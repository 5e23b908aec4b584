"""Video files to features as the job makes them: its decoder, its plug-ins, ONNX Runtime on one thread."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from materials.records import Feature, Features
from model_plugins.builtin.video_embedding import VideoEmbedding
from model_plugins.builtin.video_local import VideoLocal
from model_plugins.protocol import VideoMedia
from model_plugins.recipes.build import build_image_embedding, default_cache
from pipeline.media.limits import MediaLimits
from pipeline.media.video import decode_video


class Embedder:
    """The image model in this process. `images`: uint8 [n, 224, 224, 3] -> float32 [n, 256]."""

    def __init__(self, model: Path | None = None) -> None:
        cv2.setNumThreads(1)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = model or build_image_embedding(default_cache())
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._plugin = VideoEmbedding()
        self._local = VideoLocal()

    def images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(
            [self._session.run(["embedding"], {"image": images[i : i + 8]})[0] for i in range(0, len(images), 8)]
        )

    def media(self, media: VideoMedia) -> Feature:
        prepared = self._plugin.prepare(media)
        return self._plugin.interpret({"embedding": self.images(prepared["image"]), "times": prepared["times"]})

    def local(self, media: VideoMedia) -> Feature:
        """Key frames' keypoints."""
        return self._local.interpret(self._local.prepare(media))

    def data(self, data: bytes, name: str) -> Features:
        """Both features of a file; an empty one of the keypoints too."""
        media = decode_video(data, name, MediaLimits())
        return {self._plugin.manifest.key: self.media(media), self._local.manifest.key: self.local(media)}
