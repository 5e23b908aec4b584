"""One model server as the library sees it: the KServe v2 repository extension over gRPC, one call at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from materials.errors import Permanent, Retryable, SosieError
from model_plugins.library.signature import Signature, config_json

LOAD_SECONDS: Final = 300.0
CALL_SECONDS: Final = 60.0
_DOWN: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "Deadline Exceeded")


class ModelServer:
    """A connection; a context manager.

    Args:
        address: `host:port` of the gRPC listener.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = triton.InferenceServerClient(address)

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ready_versions(self, model: str) -> tuple[int, ...]:
        """Versions of a model that answer calls now; empty when the server has none."""
        with self._said(f"asking for the versions of {model}"):
            index = self._client.get_model_repository_index(client_timeout=CALL_SECONDS)
        entries = [each for each in index.models if each.name == model and each.state.rpartition(".")[2] == "READY"]
        return tuple(sorted(int(each.version) for each in entries if each.version.isdecimal()))

    def instance_group(self, model: str) -> Any:
        """How many copies of the model the server runs, and on what, as protobuf messages; empty when unknown."""
        try:
            return self._client.get_model_config(model, client_timeout=CALL_SECONDS).config.instance_group
        except InferenceServerException:
            return ()

    def load(self, model: str) -> None:
        """Have the server read the model's folder in its own repository again; versions in use go on answering."""
        with self._said(f"loading {model}"):
            self._client.load_model(model, client_timeout=LOAD_SECONDS)

    def load_inline(
        self, model: str, config: str, versions: Mapping[int, Mapping[str, bytes]], instance_group: Any = None
    ) -> None:
        """Have the server run exactly these versions, whose files travel with the call. They last until it restarts.

        Args:
            config: `config.pbtxt`.
            versions: version -> path below its folder -> content.
        """
        files = {f"file:{number}/{path}": data for number, each in versions.items() for path, data in each.items()}
        with self._said(f"loading {model}"):
            self._client.load_model(
                model,
                config=config_json(config, name=model, instance_group=instance_group),
                files=files,
                client_timeout=LOAD_SECONDS,
            )

    def unload(self, model: str) -> None:
        """Forget the model; returns before the last call on it has ended."""
        with self._said(f"unloading {model}"):
            self._client.unload_model(model, client_timeout=CALL_SECONDS)

    def infer(
        self, model: str, version: int, signature: Signature, tensors: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Call one version with one batch.

        Raises:
            Retryable: the server is away or too slow.
            Permanent: it refuses the call.
        """
        inputs = []
        for spec in signature.inputs:
            array = np.ascontiguousarray(tensors[spec.name])
            inputs.append(triton.InferInput(spec.name, list(array.shape), spec.dtype))
            inputs[-1].set_data_from_numpy(array)
        with self._said(f"calling {model}@{version}"):
            answer = self._client.infer(model, inputs, model_version=str(version), client_timeout=CALL_SECONDS)
        return {spec.name: answer.as_numpy(spec.name) for spec in signature.outputs}

    @contextmanager
    def _said(self, doing: str) -> Iterator[None]:
        """The client's one kind of error, as ours."""
        try:
            yield
        except InferenceServerException as error:
            raise _typed(error, f"{self.address}: {doing} failed: {error.message()}") from None


def _typed(error: InferenceServerException, said: str) -> SosieError:
    status = str(error.status() or "")
    return Retryable(said) if any(word in status for word in _DOWN) else Permanent(said)


def describe(error: SosieError) -> str:
    """One line of an error, short enough for a table."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if len(text) <= 240 else json.dumps(text[:237])[1:-1] + "…"
