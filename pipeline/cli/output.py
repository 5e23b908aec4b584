"""What every command shares: consoles, JSON, and how an error is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from materials.errors import SosieError, UsageError
from materials.redaction import without_secrets

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

EXIT_FAILED = 1
EXIT_USAGE = 2

StateOption = Annotated[
    Path | None, typer.Option("--state", help="State folder. Default: $SOSIE_STATE, the spec's `state`, then ./.sosie.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, for programs.")]


def whole(header: str) -> Column:
    """A column whose names are for the next command, so that a narrow screen folds them and never cuts one."""
    return Column(header, overflow="fold", min_width=21)


def print_json(value: Any) -> None:
    """One JSON document, keys in the order of the record."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2) + b"\n")
    sys.stdout.flush()


def tell(error: SosieError) -> int:
    """Print an error as one line with its remedy; returns the exit code."""
    if isinstance(error, UsageError):
        remedy = f" [dim]→ {escape(error.remedy)}[/dim]" if error.remedy else ""
        err.print(f"[red]sosie:[/red] {escape(without_secrets(error.message))}{remedy}", soft_wrap=True)
        return EXIT_USAGE
    err.print(f"[red]sosie:[/red] {escape(without_secrets(str(error)))}", soft_wrap=True)
    return EXIT_FAILED
