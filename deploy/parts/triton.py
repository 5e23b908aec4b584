"""The model server: tritonserver from `nvidia-pytriton`'s wheel, or MLServer where that cannot run."""

from __future__ import annotations

import http.client
import os

from deploy.java import clean_environment
from deploy.model_server.catalogue import ALL, served
from deploy.model_server.environment import ModelEnvironment, ensure
from deploy.model_server.repository import link_backends, remove_model, write_repository
from deploy.model_server.weights import ensure_model
from deploy.parts.part import Launch, Part, Site, Unhealthy
from deploy.ports import LOOPBACK

NAME = "triton"


def launch(site: Site) -> Launch:
    """Write the model repository and say how to start the server."""
    environment = ensure(extras=site.extras)
    repository = site.state / "model_repository"
    wanted = served(site.extras)
    for model in wanted:
        write_repository(repository, model, ensure_model(model.name) if model.has_file else None, environment)
    for model in ALL:
        if model not in wanted:
            remove_model(repository, model)
    return (_triton if environment.server == "triton" else _mlserver)(site, environment)


def _triton(site: Site, environment: ModelEnvironment) -> Launch:
    link_backends(site.state / "run" / "backends", environment)
    program = environment.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    argv = [
        str(program),
        # Relative: Triton starts each model through a shell and quotes nothing, so a folder's name must not matter.
        "--model-repository=../model_repository",
        "--backend-directory=./backends",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--exit-timeout-secs=5",
        # Strict, the server would call itself not ready while any model is loaded or unloaded.
        "--strict-readiness=false",
        "--allow-gpu-metrics=false",
        "--log-verbose=0",
    ]
    for role in ("grpc", "http", "metrics"):
        argv += [f"--{role}-port={site.port(NAME, role)}", f"--{role}-address={LOOPBACK}"]
    # The stub's Python is the `python3` on PATH, whatever PYTHONPATH says.
    extra = {
        "PATH": os.pathsep.join([str(environment.folder / "bin"), "/usr/bin", "/bin"]),
        "PYTHONPATH": str(environment.site_packages),
        "LD_LIBRARY_PATH": environment.library_folder,
    }
    return Launch(argv, clean_environment(extra), site.state / "run")


def _mlserver(site: Site, environment: ModelEnvironment) -> Launch:
    repository = site.state / "model_repository"
    argv = [str(environment.folder / "bin" / "mlserver"), "start", str(repository)]
    extra = {
        "PATH": os.pathsep.join([str(environment.folder / "bin"), "/usr/bin", "/bin"]),
        "MLSERVER_HOST": LOOPBACK,
        "MLSERVER_HTTP_PORT": str(site.port(NAME, "http")),
        "MLSERVER_GRPC_PORT": str(site.port(NAME, "grpc")),
        "MLSERVER_METRICS_PORT": str(site.port(NAME, "metrics")),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "SOSIE_MODEL_REPOSITORY": str(repository),
    }
    return Launch(argv, clean_environment(extra), site.state / "run")


def check(site: Site) -> None:
    """The server is ready, and so is each model."""
    connection = http.client.HTTPConnection(LOOPBACK, site.port(NAME, "http"), timeout=3)
    try:
        for path in ("/v2/health/ready", *(f"/v2/models/{model.name}/ready" for model in served(site.extras))):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise Unhealthy(f"{path} answers {answer.status}")
    finally:
        connection.close()


PART = Part(NAME, ("grpc", "http", "metrics"), launch, check, lambda site: site.local(NAME, "grpc"), start_seconds=120)
