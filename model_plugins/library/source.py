"""Reads what `sosie model add` was given: an ONNX file, or a folder of a version as Triton lays it out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from materials.errors import UsageError
from model_plugins.library.signature import Signature, backend_of_config, signature_of_config, signature_of_onnx

ONNX_FILE: Final = "model.onnx"
CODE_FILE: Final = "model.py"
_LARGEST: Final = 2_000_000_000
"""Bytes of one file: what one message to a server may carry."""


class Source(msgspec.Struct, frozen=True):
    """A version to be added: its files, what they take and give, and Triton's backend that runs them."""

    files: dict[str, bytes]
    signature: Signature
    backend: str


def read_source(path: Path, runner: bytes, backend: str = "python", max_batch: int = 8) -> Source:
    """Read and check a version.

    Args:
        path: `NAME.onnx`, or a folder with `model.onnx` or `model.py`, with `config.pbtxt` in it or one above; of a
            model's folder its one numbered folder is taken.
        runner: the `model.py` that runs an ONNX file in Triton's Python backend, where the folder brings none.
        backend: of an ONNX file without `config.pbtxt`: `python` or `onnxruntime`.
        max_batch: rows of one call, where no `config.pbtxt` says it.

    Raises:
        UsageError: it is neither, or the checks refuse it.
    """
    if backend not in ("python", "onnxruntime"):
        raise UsageError(f"backend {backend!r} cannot run an ONNX file", "python or onnxruntime")
    if path.is_file():
        files, config = {ONNX_FILE: _bytes(path)}, ""
    elif path.is_dir():
        files, config = _folder(path)
    else:
        raise UsageError(f"{path} is not there", "name an .onnx file or a folder that holds one")
    if config:
        signature, backend = signature_of_config(config), backend_of_config(config) or backend
    elif ONNX_FILE not in files:
        raise UsageError(f"{path} has no {ONNX_FILE} and no config.pbtxt", "one of them says what the model takes")
    if ONNX_FILE in files:
        graph = signature_of_onnx(files[ONNX_FILE], signature.max_batch if config else max_batch)
        if config and not graph.same_tensors(signature):
            raise UsageError(f"config.pbtxt says {signature}, and {ONNX_FILE} is {graph}", "correct config.pbtxt")
        signature = graph
        if backend == "python":
            files.setdefault(CODE_FILE, runner)
    if backend == "python" and CODE_FILE not in files:
        raise UsageError(f"{path} has no {CODE_FILE} for Triton's Python backend", f"add one, or {ONNX_FILE}")
    return Source(files, signature, backend)


def _folder(path: Path) -> tuple[dict[str, bytes], str]:
    """Files of the version's folder, and `config.pbtxt`, empty where there is none."""
    numbered = [each for each in path.iterdir() if each.is_dir() and each.name.isdecimal()]
    if len(numbered) > 1:
        raise UsageError(f"{path} holds {len(numbered)} versions", f"name one of them, e.g. {numbered[0]}")
    version = numbered[0] if numbered else path
    configs = [each for each in (version / "config.pbtxt", version.parent / "config.pbtxt") if each.is_file()]
    if version == path and configs and configs[0].parent != path and not path.name.isdecimal():
        configs = []  # of another model that happens to lie above
    files = {}
    for file in sorted(each for each in version.rglob("*") if each.is_file()):
        relative = file.relative_to(version)
        if any(part.startswith((".", "__pycache__")) for part in relative.parts) or file.name == "config.pbtxt":
            continue
        if not file.resolve().is_relative_to(version.resolve()):
            raise UsageError(f"{file} is a link that leaves the folder", "put the file itself there")
        files[relative.as_posix()] = _bytes(file)
    if ONNX_FILE not in files and len(onnx := [name for name in files if name.endswith(".onnx")]) == 1:
        files[ONNX_FILE] = files.pop(onnx[0])
    return files, configs[0].read_text() if configs else ""


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST:
        raise UsageError(f"{path} has more than 2 GB", "keep the weights below that, or serve the model by hand")
    return path.read_bytes()
