"""What a model takes and gives: read from an ONNX graph or from a `config.pbtxt`, written as a `config.pbtxt`."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import onnx
from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2

from materials.errors import UsageError

_ELEMENTS: Final = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
}


class TensorSpec(msgspec.Struct, frozen=True):
    """One tensor. `dtype` as the KServe protocol spells it (`UINT8`); `shape` without the batch axis, -1 where it
    varies."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}{list(self.shape)}".replace("-1", "?")


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and outputs; `max_batch`: rows of one call. `opset` of the ONNX graph, 0 for another format."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int
    opset: int = 0

    def same_tensors(self, other: Signature) -> bool:
        """Whether a caller of the one can call the other; the order of tensors does not matter."""
        return all(
            sorted(mine, key=str) == sorted(theirs, key=str)
            for mine, theirs in ((self.inputs, other.inputs), (self.outputs, other.outputs))
        )

    def __str__(self) -> str:
        sides = (", ".join(map(str, side)) for side in (self.inputs, self.outputs))
        return " -> ".join(sides)


def signature_of_onnx(data: bytes, max_batch: int = 8) -> Signature:
    """Read a whole ONNX file, after ONNX's own checker has accepted it.

    Raises:
        UsageError: it is no valid model, its weights lie in another file, or its first axis is not a batch of any size.
    """
    try:
        model = onnx.load_model_from_string(data)
        if any(each.data_location == onnx.TensorProto.EXTERNAL for each in model.graph.initializer):
            raise UsageError("the ONNX model keeps its weights in another file", "save it as one file, up to 2 GB")
        onnx.checker.check_model(model, full_check=True)
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = (str(error).strip() or "not an ONNX file").splitlines()[0]
        raise UsageError(f"the ONNX checker refuses the model: {reason}", "it names the fault: export again") from None
    constants = {each.name for each in model.graph.initializer}
    return Signature(
        inputs=tuple(_tensor(each) for each in model.graph.input if each.name not in constants),
        outputs=tuple(_tensor(each) for each in model.graph.output),
        max_batch=max_batch,
        opset=next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0),
    )


def _tensor(value: Any) -> TensorSpec:
    kind = value.type.tensor_type
    dtype = _ELEMENTS.get(kind.elem_type)
    if dtype is None:
        raise UsageError(f"tensor {value.name!r} has a type that model servers do not take", "use a numeric type")
    sides = [each.dim_value if each.HasField("dim_value") else -1 for each in kind.shape.dim]
    if not sides or sides[0] != -1:
        raise UsageError(
            f"tensor {value.name!r} {sides} has no batch axis of free size",
            "export the model with a symbolic first dimension",
        )
    return TensorSpec(value.name, dtype, tuple(sides[1:]))


def signature_of_config(text: str) -> Signature:
    """Read Triton's `config.pbtxt`.

    Raises:
        UsageError: it is none, or names no inputs and outputs.
    """
    try:
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise UsageError(
            f"config.pbtxt cannot be read: {error}", "Triton's model configuration is documented"
        ) from None
    if not config.input or not config.output or config.max_batch_size < 1:
        raise UsageError("config.pbtxt lacks input, output or max_batch_size", "state all three")
    return Signature(
        inputs=tuple(_of_config(each) for each in config.input),
        outputs=tuple(_of_config(each) for each in config.output),
        max_batch=config.max_batch_size,
    )


def backend_of_config(text: str) -> str:
    """Triton's backend that a `config.pbtxt` names; empty when it names none."""
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return str(config.backend or config.platform.removesuffix("_onnx"))


def _of_config(entry: Any) -> TensorSpec:
    name = model_config_pb2.DataType.Name(entry.data_type).removeprefix("TYPE_")
    return TensorSpec(entry.name, "BYTES" if name == "STRING" else name, tuple(entry.dims))


def config_of(name: str, signature: Signature, backend: str, instances: int = 0) -> str:
    """`config.pbtxt` of a model, all of whose versions are served side by side.

    Args:
        instances: copies of the model on a CPU; 0 leaves the choice to the server.
    """
    config = model_config_pb2.ModelConfig(name=name, backend=backend, max_batch_size=signature.max_batch)
    for group, tensors in ((config.input, signature.inputs), (config.output, signature.outputs)):
        for tensor in tensors:
            kind = model_config_pb2.DataType.Value(f"TYPE_{'STRING' if tensor.dtype == 'BYTES' else tensor.dtype}")
            group.add(name=tensor.name, data_type=kind, dims=tensor.shape)
    config.version_policy.all.SetInParent()
    if instances:
        config.instance_group.add(count=instances, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    return str(text_format.MessageToString(config))


def config_json(text: str, name: str = "", instance_group: Any = None) -> str:
    """`config.pbtxt` as the JSON of the repository extension.

    Args:
        name: another name for the model; default: as it stands.
        instance_group: what a server already has for the model (a list of protobuf messages); default: as it stands.
    """
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.name = name or config.name
    if instance_group:
        del config.instance_group[:]
        config.instance_group.extend(instance_group)
    return json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True))
