"""`sosie gateway`: the read-only HTTP gateway in the foreground, over a running stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder

EPILOG = (
    "[bold]Examples[/bold]: sosie gateway --listen 127.0.0.1:8080    "
    "sosie gateway --listen 0.0.0.0:8080 --host-name ids.example.org --read-token-file ./read.token"
)


def gateway(
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where it answers.")] = "127.0.0.1:8080",
    read_token_file: Annotated[
        Path | None,
        typer.Option("--read-token-file", help="Callers must show one of its tokens; made if absent.", metavar="FILE"),
    ] = None,
    host_name: Annotated[
        list[str] | None, typer.Option("--host-name", help="A name it is reached under, beside localhost.")
    ] = None,
    state: output.StateOption = None,
) -> None:
    """Answer look-ups and searches over HTTP until Ctrl-C; it changes nothing. `sosie up` starts one by itself.

    GET / is a page for people, /openapi.json says what programs may ask.
    """
    folder = state_folder(state)
    from pipeline.gateway.server import serve, settings_for  # late: FastAPI takes half a second

    addresses = lookups.addresses(folder)
    settings = settings_for(folder, addresses, listen, read_token_file, tuple(host_name or ()))
    output.err.print(f"the gateway answers at http://{listen}; Ctrl-C ends it", soft_wrap=True, markup=False)
    code = serve(settings, listen)
    if code:
        raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateway", epilog=EPILOG)(gateway)
