"""Writes the model repository that the local model server serves, in the layouts of Triton and of MLServer."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec

from deploy.model_server.environment import HERE, ModelEnvironment

BACKEND_FILES = (
    "backends/python/libtriton_python.so",
    "backends/python/triton_python_backend_utils.py",
    "python_backend_stubs/3.11/triton_python_backend_stub",
)
"""Below `pytriton/tritonserver`."""
TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


class ModelSpec(msgspec.Struct, frozen=True):
    """A model to serve: (name, dtype, shape without the batch axis) of its input and output, and the batch limit."""

    name: str
    input: tuple[str, str, tuple[int, ...]]
    output: tuple[str, str, tuple[int, ...]]
    max_batch: int = 8


IMAGE_EMBEDDING = ModelSpec("image-embedding", ("image", "uint8", (224, 224, 3)), ("embedding", "float32", (256,)))


def triton_config(model: ModelSpec, instances: int) -> str:
    """`config.pbtxt`. No dynamic batching: clients send whole batches, and on a CPU a batch gains nothing."""

    def tensor(name: str, dtype: str, shape: tuple[int, ...]) -> str:
        return f'{{ name: "{name}" data_type: {TYPES[dtype]} dims: [ {", ".join(map(str, shape))} ] }}'

    return (
        f'name: "{model.name}"\n'
        'backend: "python"\n'
        f"max_batch_size: {model.max_batch}\n"
        f"input [ {tensor(*model.input)} ]\n"
        f"output [ {tensor(*model.output)} ]\n"
        f"instance_group [ {{ count: {instances} kind: KIND_CPU }} ]\n"
    )


def mlserver_settings(model: ModelSpec) -> str:
    """`model-settings.json`."""

    def tensor(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, object]:
        return {"name": name, "datatype": TYPES[dtype].removeprefix("TYPE_"), "shape": [-1, *shape]}

    return json.dumps(
        {
            "name": model.name,
            "implementation": "mlserver_model.OnnxModel",
            "inputs": [tensor(*model.input)],
            "outputs": [tensor(*model.output)],
            "parameters": {"version": "1"},
        },
        indent=1,
    )


def write_repository(
    folder: Path, model: ModelSpec, onnx: Path, environment: ModelEnvironment, instances: int | None = None
) -> None:
    """Write `folder/<model>/…`. The weights are linked, not copied.

    Args:
        folder: the repository; other models in it stay.
        onnx: the model file.
        environment: decides whose layout it is.
        instances: copies of the model; default: one a core.
    """
    version = folder / model.name / "1"
    version.mkdir(parents=True, exist_ok=True)
    _link(version / "model.onnx", onnx.resolve())
    if environment.server == "triton":
        count = instances or len(os.sched_getaffinity(0))
        (folder / model.name / "config.pbtxt").write_text(triton_config(model, count))
        shutil.copyfile(HERE / "triton_model.py", version / "model.py")
    else:
        (folder / model.name / "model-settings.json").write_text(mlserver_settings(model))
        shutil.copyfile(HERE / "mlserver_model.py", folder / model.name / "mlserver_model.py")


def link_backends(folder: Path, environment: ModelEnvironment) -> None:
    """Make Triton's backend directory: the Python backend and its stub in one folder.

    Links, not copies: the stub finds its libraries relative to where it really lies.
    """
    target = folder / "python"
    target.mkdir(parents=True, exist_ok=True)
    server = environment.site_packages / "pytriton" / "tritonserver"
    for file in BACKEND_FILES:
        _link(target / Path(file).name, server / file)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
