"""KServe v2 over HTTP: bodies with the binary tensor extension (Triton) or with JSON tensors (any other server).

Extension: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Overloaded, Permanent, Retryable, SosieError
from model_plugins.call_errors import ModelUnknown, ServerGone
from model_plugins.protocol import ModelRef
from model_plugins.transports.kserve import QUEUE_FULL, check_outputs, numpy_dtype
from model_plugins.transports.transport import Answer, Batch

HEADER_LENGTH = "Inference-Header-Content-Length"


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: Any = None
    parameters: dict[str, Any] | None = None


class _Response(msgspec.Struct):
    outputs: list[_Output]
    model_version: str | None = None


def encode_request(batch: Batch, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an inference request."""
    inputs: list[dict[str, Any]] = []
    tensors: list[bytes] = []
    for name, (dtype, _) in batch.model.inputs.items():
        pieces = batch.pieces[name]
        head: dict[str, Any] = {"name": name, "datatype": dtype, "shape": [batch.rows, *pieces[0].shape[1:]]}
        if binary:
            raw = b"".join([piece.data for piece in pieces])
            tensors.append(raw)
            head["parameters"] = {"binary_data_size": len(raw)}
        else:
            head["data"] = [number for piece in pieces for number in piece.ravel().tolist()]
        inputs.append(head)
    outputs = [
        {"name": name, "parameters": {"binary_data": True}} if binary else {"name": name}
        for name in batch.model.outputs
    ]
    body = msgspec.json.encode({"inputs": inputs, "outputs": outputs})
    if not binary:
        return body, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(body))}
    return b"".join([body, *tensors]), headers


def decode_response(model: ModelRef, rows: int, body: bytes, header_length: str | None) -> Answer:
    """The outputs, binary or JSON, each as the server chose to send it.

    Raises:
        Permanent: this is no answer to the request; see `kserve.read_response`.
    """
    length = int(header_length) if header_length else len(body)
    try:
        response = msgspec.json.decode(body[:length], type=_Response)
        answers: dict[str, NDArray[Any]] = {}
        start = length
        for output in response.outputs:
            dtype = numpy_dtype(output.datatype)
            size = (output.parameters or {}).get("binary_data_size")
            if size is None:
                array = np.asarray(output.data, dtype=dtype)
            else:
                array = np.frombuffer(body[start : start + size], dtype=dtype)
                start += size
            answers[output.name] = array.reshape(output.shape)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise Permanent(f"model {model.name!r} gave an answer that cannot be read: {error}") from error
    return Answer(check_outputs(model, rows, answers), response.model_version or "")


def http_error(status: int, body: bytes, model: str, address: str) -> SosieError:
    """What an answer other than 200 means for its caller."""
    said = f"model {model!r} at {address}: {_words(body) or status}"
    words = said.lower()
    if any(phrase in words for phrase in QUEUE_FULL) or status == 429:
        return Overloaded(said)
    if status == 404 or "unknown model" in words:
        return ModelUnknown(said)
    if status in (502, 503):  # a proxy whose server went away, or a server that stops
        return ServerGone(said)
    if status in (408, 504) or (status >= 500 and status != 501):
        return Retryable(said)
    return Permanent(said)


def _words(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return body[:200].decode(errors="replace")
    error = said.get("error", said.get("detail", said)) if isinstance(said, dict) else said
    return error if isinstance(error, str) else msgspec.json.encode(error)[:500].decode()
