"""Writes the model repository that the local model server serves, in the layouts of Triton and of MLServer."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from deploy.model_server.catalogue import ServedModel, Shape
from deploy.model_server.environment import HERE, ModelEnvironment

BACKEND_FILES = (
    "backends/python/libtriton_python.so",
    "backends/python/triton_python_backend_utils.py",
    "python_backend_stubs/3.11/triton_python_backend_stub",
)
"""Below `pytriton/tritonserver`."""
FIRST_VERSION = "1"
"""What the catalogue's models are served as; later versions, beside it, come from the model library."""


def triton_config(model: ServedModel, instances: int) -> str:
    """`config.pbtxt`. All versions in the folder are served, side by side.

    No dynamic batching: clients send whole batches, and on a CPU a batch gains nothing.
    """

    def tensors(group: dict[str, tuple[str, Shape]]) -> str:
        return ", ".join(
            f'{{ name: "{name}" data_type: TYPE_{dtype} dims: [ {", ".join(map(str, shape))} ] }}'
            for name, (dtype, shape) in group.items()
        )

    return (
        f'name: "{model.name}"\n'
        'backend: "python"\n'
        f"max_batch_size: {model.max_batch}\n"
        f"input [ {tensors(model.inputs)} ]\n"
        f"output [ {tensors(model.outputs)} ]\n"
        "version_policy: { all {} }\n"
        f"instance_group [ {{ count: {instances} kind: KIND_CPU }} ]\n"
    )


def mlserver_settings(model: ServedModel) -> str:
    """`model-settings.json`."""

    def tensors(group: dict[str, tuple[str, Shape]]) -> list[dict[str, object]]:
        return [{"name": name, "datatype": dtype, "shape": [-1, *shape]} for name, (dtype, shape) in group.items()]

    return json.dumps(
        {
            "name": model.name,
            "implementation": "mlserver_model.OnnxModel",
            "inputs": tensors(model.inputs),
            "outputs": tensors(model.outputs),
            "parameters": {"version": FIRST_VERSION},
        },
        indent=1,
    )


def write_repository(
    folder: Path, model: ServedModel, onnx: Path | None, environment: ModelEnvironment, instances: int | None = None
) -> None:
    """Write version 1 into `folder/<model>/…`; other versions and models stay. The weights are linked, not copied.

    Args:
        folder: the repository.
        onnx: the model file; None when the weights come in a package.
        environment: decides whose layout it is.
        instances: copies of the model; default: the catalogue's.
    """
    version = folder / model.name / FIRST_VERSION
    version.mkdir(parents=True, exist_ok=True)
    if onnx is not None:
        _link(version / "model.onnx", onnx.resolve())
    if environment.server == "triton":
        count = instances or model.instances or len(os.sched_getaffinity(0))
        (folder / model.name / "config.pbtxt").write_text(triton_config(model, count))
        shutil.copyfile(HERE / model.code, version / "model.py")
    else:
        (folder / model.name / "model-settings.json").write_text(mlserver_settings(model))
        shutil.copyfile(HERE / "mlserver_model.py", folder / model.name / "mlserver_model.py")


def remove_model(folder: Path, model: ServedModel) -> None:
    """Take the catalogue's version out of the repository, and the whole model when no other version is left."""
    shutil.rmtree(folder / model.name / FIRST_VERSION, ignore_errors=True)
    if not any((folder / model.name).glob("[0-9]*")):
        shutil.rmtree(folder / model.name, ignore_errors=True)


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
