"""`sosie model announce`: runs beside a model server and enters its ready models in ZooKeeper."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Annotated

import typer

from deploy.addresses import ENVIRONMENT, GivenAddresses
from materials.errors import UsageError
from model_plugins.discovery import announce
from model_plugins.discovery.zookeeper_access import ENVIRONMENT as AUTH_FILE
from model_plugins.discovery.zookeeper_access import Access
from pipeline.cli import output

EPILOG = (
    "[bold]Example[/bold]: sosie model announce --grpc 127.0.0.1:8001 --zookeeper zk1:2181,zk2:2181 "
    "--advertise gpu-7.example --device a100 --zone eu-1a"
)


def announce_command(
    grpc: Annotated[str, typer.Option("--grpc", help="The server's gRPC listener, HOST:PORT.")],
    zookeeper: Annotated[
        str, typer.Option("--zookeeper", help=f"HOST:PORT[,HOST:PORT…]\\[/CHROOT]; or {ENVIRONMENT['zookeeper']}.")
    ] = "",
    advertise: Annotated[str, typer.Option("--advertise", help="The host that clients reach it by.")] = "",
    http_port: Annotated[int, typer.Option("--http-port", min=0, max=65535, help="Announced too; 0: none.")] = 0,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; may be repeated.")] = None,
    device: Annotated[str, typer.Option("--device", help="What it computes on, for people.")] = "cpu",
    zone: Annotated[str, typer.Option("--zone", help="For zone-aware balancing.")] = "",
    weight: Annotated[float, typer.Option("--weight", min=0.001, help="For weighted balancing.")] = 1.0,
    interval: Annotated[float, typer.Option("--interval", min=0.05, help="Seconds between two looks.")] = 1.0,
    drain: Annotated[
        float, typer.Option("--drain", min=0.0, help="Seconds for calls in flight between SIGTERM and withdrawal.")
    ] = 5.0,
    session_timeout: Annotated[
        float, typer.Option("--session-timeout", min=1.0, help="Seconds that the entry outlives a killed announcer.")
    ] = 10.0,
    auth_file: Annotated[
        Path | None,
        typer.Option("--zookeeper-auth-file", help=f"A file that holds `user:password`; or {AUTH_FILE}."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Only who has the same credentials may read the entries.")
    ] = False,
) -> None:
    """Enter the ready models of a Triton (or any KServe v2 server) in ZooKeeper, for as long as this command runs.

    On SIGTERM the models are marked `draining` first, so that clients send no new calls, and withdrawn afterwards.
    """
    given = GivenAddresses.read(os.environ, zookeeper=zookeeper)
    if not given.zookeeper:
        raise UsageError("no ZooKeeper is named", f"give --zookeeper HOST:PORT, or set {ENVIRONMENT['zookeeper']}")
    access = Access.find(auth_file, os.environ, readable=not private)
    if private and not access.user:
        raise UsageError("--private needs credentials", f"give --zookeeper-auth-file FILE, or set {AUTH_FILE}")
    try:
        address = announce.parse_address(grpc)
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error), "give the gRPC listener as --grpc HOST:PORT") from None
    options = announce.Options(
        grpc=address,
        zookeeper=given.zookeeper,
        http_port=http_port,
        advertise=advertise,
        device=device,
        zone=zone,
        weight=weight,
        models=tuple(model or ()),
        interval=interval,
        drain=drain,
        session_timeout=session_timeout,
    )
    output.err.print(f"announcing {grpc} in ZooKeeper at {given.zookeeper}; end with Ctrl-C", soft_wrap=True)
    announce.run(options, access)
