"""Between the model library and the local model server's repository: versions in, and the shipped version known."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.model_server.catalogue import ALL, ServedModel
from deploy.model_server.environment import HERE
from deploy.model_server.repository import FIRST_VERSION
from deploy.model_server.weights import ensure_model
from materials.errors import Permanent
from model_plugins.library.library import Library
from model_plugins.library.records import PRODUCTION, Card
from model_plugins.library.signature import Signature, TensorSpec, config_of

ONNX_FILE = "model.onnx"
CODE_FILE = "model.py"
RUNTIME = "python 3.11 with numpy and onnxruntime (the local stack's model server)"


def runner() -> bytes:
    """The `model.py` by which Triton's Python backend runs a `model.onnx` beside it."""
    return (HERE / "triton_model.py").read_bytes()


def shipped(name: str) -> ServedModel | None:
    """The model of this name that comes with sosie as an ONNX file, if there is one."""
    return next((model for model in ALL if model.name == name and model.has_file), None)


def adopt(library: Library, name: str, say: Callable[[str], None] | None = None) -> Card | None:
    """Make the shipped version the library's version 1 and let it have `production`, unless it is there.

    Later versions are then verified against it, and a rollback can go back to it. None for a model that is not shipped.
    """
    model, first = shipped(name), int(FIRST_VERSION)
    if model is None:
        return None
    if first not in library.versions(name):
        library.add(
            name,
            {ONNX_FILE: ensure_model(name, say=say).read_bytes(), CODE_FILE: runner()},
            Signature(inputs=_specs(model.inputs), outputs=_specs(model.outputs), max_batch=model.max_batch),
            backend="python",
            runtime=RUNTIME,
            training="shipped with sosie: model_plugins/recipes",
            licence="Apache-2.0",
            version=first,
            added_by="sosie",
        )
    if not library.history(name):
        library.move(name, first, "promote", alias=PRODUCTION, expected=0, by="sosie", reason="shipped with sosie")
    return library.card(name, first)


def _specs(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, dtype, shape) for name, (dtype, shape) in tensors.items())


def materialise(repository: Path, library: Library, cards: Sequence[Card]) -> None:
    """Write versions into `repository/<name>/<version>/`, where the server finds them after each start.

    A version appears whole: it is written aside and renamed. One that is there with the same bytes is left alone, and
    so is the shipped one, which the server's launch writes itself.

    Raises:
        Permanent: the repository is MLServer's, or a file in the library is damaged.
    """
    for card in cards:
        folder = repository / card.name
        if (folder / "model-settings.json").is_file():
            raise Permanent("MLServer serves one version a folder; side by side needs Triton")
        if card.version == int(FIRST_VERSION) and shipped(card.name) is not None:
            continue
        target = folder / str(card.version)
        if not _holds(target, card):
            aside = folder / f".incoming-{card.version}-{os.getpid()}"
            shutil.rmtree(aside, ignore_errors=True)
            for path, data in library.files(card).items():
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                (aside / path).write_bytes(data)
            shutil.rmtree(target, ignore_errors=True)
            aside.rename(target)
        config = folder / "config.pbtxt"
        if not config.exists():
            config.write_text(config_of(card.name, card.signature, card.backend, len(os.sched_getaffinity(0))))


def _holds(folder: Path, card: Card) -> bool:
    return all(
        (folder / each.path).is_file() and hashlib.sha256((folder / each.path).read_bytes()).hexdigest() == each.sha256
        for each in card.files
    )
