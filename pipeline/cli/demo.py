"""`sosie demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import output


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("demo", epilog="[bold]Example[/bold]: sosie demo --out out/demo && open out/demo/report.html")
    def demo(
        out: Annotated[Path, typer.Option("--out", help="Folder for the demo's input, results and report.")] = Path(
            "out/demo"
        ),
        state: output.StateOption = None,
    ) -> None:
        """Real photos, videos and texts with attacked copies and planted bad inputs, through the whole job."""
        from pipeline.demo.main import demo as run_demo

        raise typer.Exit(run_demo(out, state, console=output.out))
