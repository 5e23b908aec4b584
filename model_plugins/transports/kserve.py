"""KServe v2 messages for Triton's gRPC: requests with raw tensors, answers as arrays, failures as typed errors.

Made by hand from the protobuf stubs: tritonclient's own `InferInput` costs several copies and a good part of a
millisecond per call. Tensors are little-endian and in C order, as the protocol has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from materials.errors import Overloaded, Permanent, Retryable, SosieError
from model_plugins.call_errors import AttemptTimedOut, ModelUnknown, ServerGone
from model_plugins.protocol import ModelRef

__all__ = ["INFER_METHOD", "ServerGone", "build_request", "check_outputs", "error_of", "numpy_dtype", "read_response"]

INFER_METHOD = "/inference.GRPCInferenceService/ModelInfer"

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}

# Triton answers UNAVAILABLE for a full queue as for a server that goes away; only the words differ
QUEUE_FULL = ("maximum queue size", "request timeout expired")

_CODES = grpc.StatusCode
_PERMANENT = {
    _CODES.INVALID_ARGUMENT,
    _CODES.UNIMPLEMENTED,
    _CODES.OUT_OF_RANGE,
    _CODES.FAILED_PRECONDITION,
    _CODES.UNAUTHENTICATED,
    _CODES.PERMISSION_DENIED,
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """`UINT8` -> the numpy dtype.

    Raises:
        Permanent: the protocol has no such type, or it has no fixed size (BYTES).
    """
    try:
        return _DTYPES[name]
    except KeyError:
        raise Permanent(f"tensor type {name!r} is not supported; known: {', '.join(_DTYPES)}") from None


def build_request(
    model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]]
) -> service_pb2.ModelInferRequest:
    """One request out of the pieces of many items: for each input, arrays that together have `rows` rows.

    Args:
        pieces: input name -> arrays [k, ...] of exactly the declared dtype, C-contiguous; where the declared shape
            says `ANY`, all pieces of an input have the same size there.
    """
    request = service_pb2.ModelInferRequest(model_name=model.name, model_version=model.version)
    for name, (dtype, _) in model.inputs.items():
        tensor = request.inputs.add()
        tensor.name = name
        tensor.datatype = dtype
        tensor.shape.append(rows)
        tensor.shape.extend(pieces[name][0].shape[1:])
        request.raw_input_contents.append(b"".join([piece.data for piece in pieces[name]]))
    for name in model.outputs:
        request.outputs.add().name = name
    return request


def read_response(model: ModelRef, rows: int, response: service_pb2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """Output name -> array [rows, ...], read-only, without a copy.

    Raises:
        Permanent: an output is missing, or its bytes do not fit its shape (a model process under an unsuitable numpy
            answers with empty outputs and no error), or it has another number of rows.
    """
    if len(response.raw_output_contents) != len(response.outputs):
        raise Permanent(f"model {model.name!r} answered without raw tensors")
    answers: dict[str, NDArray[Any]] = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        shape = tuple(tensor.shape)
        try:
            answers[tensor.name] = np.frombuffer(raw, dtype=numpy_dtype(tensor.datatype)).reshape(shape)
        except ValueError:
            raise Permanent(
                f"model {model.name!r} gave {len(raw)} bytes for output {tensor.name!r} {tensor.datatype} {shape}"
            ) from None
    return check_outputs(model, rows, answers)


def check_outputs(model: ModelRef, rows: int, answers: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The answers as they are.

    Raises:
        Permanent: an output that the model is to give is missing, or one has another number of rows.
    """
    for name, array in answers.items():
        if not array.ndim or len(array) != rows:
            raise Permanent(f"model {model.name!r} gave output {name!r} of shape {array.shape} for {rows} rows")
    missing = [name for name in model.outputs if name not in answers]
    if missing:
        raise Permanent(f"model {model.name!r} gave no output {', '.join(missing)}; it gave {', '.join(answers)}")
    return answers


def error_of(code: grpc.StatusCode, details: str, model: str, address: str) -> SosieError:
    """What a failed call means for its caller."""
    said = f"model {model!r} at {address}: {details or code.name}"
    words = details.lower()
    if code == _CODES.UNAVAILABLE:
        return Overloaded(said) if any(phrase in words for phrase in QUEUE_FULL) else ServerGone(said)
    if code == _CODES.RESOURCE_EXHAUSTED:
        # the same code for a message above a size limit, which no waiting makes smaller
        return Permanent(said) if "larger than max" in words else Overloaded(said)
    if code == _CODES.NOT_FOUND:
        return ModelUnknown(said)
    if code == _CODES.DEADLINE_EXCEEDED:
        return AttemptTimedOut(said)
    return Permanent(said) if code in _PERMANENT else Retryable(said)
