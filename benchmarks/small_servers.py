"""Real model servers with a model that doubles its input after a settable delay, for benchmarks and fault tests.

The delay is slept and not computed, as on a server whose GPU does the work: several servers then fit two cores, and
what is measured is the client.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from deploy.java import clean_environment
from deploy.model_server.environment import ModelEnvironment, Server, ensure
from deploy.model_server.repository import link_backends
from deploy.ports import LOOPBACK, choose
from model_plugins.protocol import ANY, ModelRef

MODEL = ModelRef("double", {"in": ("FP32", (ANY,))}, ("out",), max_batch=8)
START_S = 60.0

_TRITON_MODEL = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.delay = os.path.join(args["model_repository"], "delay")

    def execute(self, requests):
        answers = []
        for request in requests:
            with open(self.delay) as file:
                seconds = float(file.read() or 0)
            if seconds:
                time.sleep(seconds)
            doubled = 2 * pb_utils.get_input_tensor_by_name(request, "in").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("out", doubled.astype(np.float32))]))
        return answers
"""

_TRITON_CONFIG = """
name: "double"
backend: "python"
max_batch_size: 8
input [ { name: "in" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "out" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { count: %d kind: KIND_CPU } ]
"""

_MLSERVER_MODEL = """
import asyncio, os
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Double(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        with open(os.environ["SMALL_SERVER_DELAY"]) as file:
            await asyncio.sleep(float(file.read() or 0))
        doubled = 2 * np.asarray(NumpyCodec.decode_input(payload.inputs[0]), np.float32)
        output = NumpyCodec.encode_output("out", doubled)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
"""


class SmallServer:
    """A process that ends with its `with` block.

    Args:
        folder: of its own; made when need be.
        server: which program.
        delay: seconds for each request, for a start.
        instances: requests at a time (Triton).
    """

    def __init__(self, folder: Path, server: Server = "triton", delay: float = 0.0, instances: int = 2) -> None:
        self._folder = folder
        self._model = folder / "models" / MODEL.name
        self._model.mkdir(parents=True, exist_ok=True)
        self.slow_down(delay)
        ports = choose(3, random.Random())
        self._ports = dict(zip(("grpc", "http", "metrics"), ports, strict=True))
        self.grpc = f"{LOOPBACK}:{self._ports['grpc']}"
        self.http = f"http://{LOOPBACK}:{self._ports['http']}"
        environment = ensure(server=server)
        if environment.server != server:
            raise RuntimeError(f"{server} cannot run on this machine; `sosie status` says why")
        prepare = self._triton if server == "triton" else self._mlserver
        self._argv, self._environment = prepare(environment, instances)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SmallServer:
        self.start()
        self.wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it; `wait_ready` says when it serves."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return once the model is ready.

        Raises:
            RuntimeError: the process ended, or it took too long; with the end of its log.
        """
        end = time.monotonic() + START_S
        while not self._is_ready():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > end:
                log = (self._folder / "server.log").read_text(errors="replace")
                raise RuntimeError(f"the model server did not start: {log[-2000:]}")
            time.sleep(0.05)

    def slow_down(self, seconds: float) -> None:
        """The delay of each request from now on."""
        unfinished = self._model / "delay.tmp"
        unfinished.write_text(str(seconds))
        unfinished.rename(self._model / "delay")

    def kill(self) -> None:
        """`kill -9`, its model processes included."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: the kernel still takes its connections, and nobody answers.

        The server alone: where its model processes stop too, Triton 2.51 takes their locks for lost and aborts.
        """
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._ports["http"], timeout=2)
        try:
            connection.request("GET", f"/v2/models/{MODEL.name}/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _triton(self, environment: ModelEnvironment, instances: int) -> tuple[list[str], dict[str, str]]:
        (self._model / "1").mkdir(exist_ok=True)
        (self._model / "1" / "model.py").write_text(_TRITON_MODEL)
        (self._model / "config.pbtxt").write_text(_TRITON_CONFIG % instances)
        link_backends(self._folder / "backends", environment)
        argv = [
            str(environment.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            "--model-repository=./models",
            "--backend-directory=./backends",
            "--allow-gpu-metrics=false",
            *[f"--{role}-port={port}" for role, port in self._ports.items()],
            *[f"--{role}-address={LOOPBACK}" for role in self._ports],
        ]
        return argv, clean_environment(
            {
                "PATH": os.pathsep.join([str(environment.folder / "bin"), "/usr/bin", "/bin"]),
                "PYTHONPATH": str(environment.site_packages),
                "LD_LIBRARY_PATH": environment.library_folder,
                "OMP_NUM_THREADS": "1",
            }
        )

    def _mlserver(self, environment: ModelEnvironment, _instances: int) -> tuple[list[str], dict[str, str]]:
        (self._model / "double_model.py").write_text(_MLSERVER_MODEL)
        tensors = {
            side: [{"name": name, "datatype": "FP32", "shape": [-1, -1]}]
            for side, name in (("inputs", "in"), ("outputs", "out"))
        }
        settings = {"name": MODEL.name, "implementation": "double_model.Double", "parameters": {"version": "1"}}
        (self._model / "model-settings.json").write_text(json.dumps(settings | tensors))
        return [str(environment.folder / "bin" / "mlserver"), "start", "./models"], clean_environment(
            {
                "PATH": os.pathsep.join([str(environment.folder / "bin"), "/usr/bin", "/bin"]),
                "MLSERVER_HOST": LOOPBACK,
                "MLSERVER_PARALLEL_WORKERS": "0",
                "SMALL_SERVER_DELAY": str(self._model / "delay"),
                **{f"MLSERVER_{role.upper()}_PORT": str(port) for role, port in self._ports.items()},
            }
        )
