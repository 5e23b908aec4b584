"""`sosie index`: what the vector index holds, whether it is sound, and copies of it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from deploy import stack
from materials.errors import SosieError, UsageError
from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder
from vector_index import backup, snapshot
from vector_index.client import IndexClient
from vector_index.engine import Engine
from vector_index.expiry import expired
from vector_index.ranking.registry import default_rankers
from vector_index.segments.files import SegmentError, read_description
from vector_index.segments.saving import SEGMENTS, STORE, read_saved
from vector_index.server import exclusive
from vector_index.verification import Verification, read_only
from vector_index.verification import verify as verify_folder

INDEX = "index"
index = typer.Typer(help="The vector index: what it holds, whether it is sound, copies of it.", no_args_is_help=True)


@index.command("stats", epilog="[bold]Example[/bold]: sosie index stats --json")
def stats(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """What the index holds: from the running service, else from its folder."""
    folder = state_folder(state)
    running = stack.find(folder)
    if running is not None:
        with IndexClient(running.index) as client:
            found: dict[str, Any] = {"running": True, **client.stats()}
    else:
        found = {"running": False, **_counted(folder / INDEX)}
    found["snapshots"] = _snapshots(folder / INDEX)
    if as_json:
        output.print_json(found)
        return
    output.out.print(
        f"{found['materials']:,} materials, {found['content_ids']:,} content IDs, transaction {found['sequence']:,}"
    )
    if found["running"]:
        for key, rows in sorted(found["spaces"].items()):
            output.out.print(f"{escape(key)}: {rows:,} searchable", soft_wrap=True)
    table = Table("snapshot", "space", "rows", "form", "segments", "removed", "MB")
    for one in found["snapshots"]:
        for space in one["spaces"]:
            table.add_row(
                str(one["sequence"]),
                escape(space["key"]),
                "" if space["rows"] is None else f"{space['rows']:,}",
                space["form"],
                str(space["segments"]),
                str(space["removed"]),
                f"{space['bytes'] / 1e6:,.1f}",
            )
    output.out.print(table if found["snapshots"] else "no snapshot yet: the next start reads the whole log")


@index.command("verify", epilog="[bold]Example[/bold]: sosie index verify --state ./state")
def verify(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Read everything again: the log, every checksum, every stored vector against the log. Exit code 1 if not sound.

    Changes nothing; the service may run meanwhile.
    """
    found = verify_folder(state_folder(state) / INDEX)
    if as_json:
        output.print_json({"sound": found.sound, **msgspec.to_builtins(found)})
    else:
        _tell(found)
    if not found.sound:
        raise typer.Exit(output.EXIT_FAILED)


@index.command("snapshot", epilog="[bold]Example[/bold]: sosie index snapshot --out /backups/index-monday")
def take(
    out: Annotated[
        Path | None, typer.Option("--out", help="Also copy the log and the snapshot to this new folder.")
    ] = None,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Write a snapshot now, so that the next start is short; with --out a copy that `restore` takes. Writes go on."""
    folder = state_folder(state)
    running = stack.find(folder)
    if running is None and not (folder / INDEX / backup.LOG).is_file() and out is None:
        running = lookups.addresses(folder)  # an index that the environment names
    sequence = _snapshot_of(folder / INDEX, None if running is None else running.index)
    made = None if out is None else backup.make(folder / INDEX, out.expanduser().resolve())
    if as_json:
        copied = None if made is None else {"sequence": made.sequence, "files": len(made.files), "folder": str(out)}
        output.print_json({"sequence": sequence, "copy": copied})
        return
    output.out.print(f"snapshot of transaction {sequence:,}")
    if made is not None:
        size = sum(file.size for file in made.files.values())
        output.out.print(
            f"{escape(str(out))}: transaction {made.sequence:,}, {len(made.files)} files, {size / 1e6:,.1f} MB",
            soft_wrap=True,
        )


@index.command(
    "restore", epilog="[bold]Example[/bold]: sosie down; sosie index restore /backups/index-monday; sosie up"
)
def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `sosie index snapshot --out` made.")],
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Put a copy back, every checksum checked first. The index that was there is kept beside it; no service may run."""
    folder = state_folder(state)
    where = folder / INDEX
    if where.exists():
        with exclusive(where):
            made, former = backup.restore(source.expanduser().resolve(), where)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        made, former = backup.restore(source.expanduser().resolve(), where)
    if as_json:
        output.print_json({"sequence": made.sequence, "former": None if former is None else str(former)})
        return
    output.out.print(f"restored transaction {made.sequence:,} to {escape(str(where))}", soft_wrap=True)
    if former is not None:
        output.out.print(f"the former index is kept as {escape(str(former))}", soft_wrap=True)
    output.out.print("Redis still holds what came later: sosie content rebuild")


@index.command("expire", epilog="[bold]Example[/bold]: sosie index expire --days 90 --biz ads --apply")
def expire(
    days: Annotated[float, typer.Option("--days", help="Materials older than this go.", min=0)],
    biz: Annotated[list[str] | None, typer.Option("--biz", help="Only of this business; may be repeated.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Delete them. Without it they are counted.")] = False,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Delete materials that are past their time, as a producer's delete would. Run it from a timer."""
    folder = state_folder(state)
    pages = list(expired(folder / INDEX, time.time() - days * 86_400, tuple(biz or ())))
    if apply and pages:
        with IndexClient(lookups.addresses(folder).index) as client:
            for page in pages:
                for policy in sorted({one.policy for one in page}):
                    client.delete([one.material_id for one in page if one.policy == policy], policy)
    count = sum(map(len, pages))
    if as_json:
        output.print_json({"expired": count, "deleted": apply})
    else:
        output.out.print(
            f"{count:,} materials {'deleted' if apply else 'are past their time; delete them with --apply'}"
        )


def _snapshot_of(folder: Path, address: str | None) -> int:
    if address is not None:
        with IndexClient(address, deadline=600) as client:
            return client.snapshot()
    if not (folder / backup.LOG).is_file():
        raise UsageError(f"{folder} holds no index", "give the --state of a system that has run")
    with exclusive(folder):
        engine = Engine(folder, default_rankers())
        try:
            return engine.snapshot()
        finally:
            engine.close(take_snapshot=False)


def _counted(folder: Path) -> dict[str, Any]:
    with closing(read_only(folder / backup.LOG)) as log:
        try:
            count = {
                name: int(log.execute(query).fetchone()[0])
                for name, query in (
                    ("materials", "SELECT count(*) FROM materials WHERE live"),
                    ("content_ids", "SELECT count(*) FROM content_ids WHERE redirect_to IS NULL"),
                    ("sequence", "SELECT sequence FROM progress"),
                )
            }
        except sqlite3.DatabaseError as error:
            raise SosieError(f"{folder / backup.LOG} cannot be read ({error}): sosie index verify says more") from error
    return count


def _snapshots(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in snapshot.all_in(folder / "snapshots"):
        try:
            manifest = snapshot.read_manifest(path)
            spaces = [_space(path, space) for space in manifest.spaces]
        except (snapshot.SnapshotError, SegmentError) as error:
            output.err.print(escape(f"snapshot {path.name}: {error}"), style="yellow", soft_wrap=True)
            continue
        found.append({"sequence": manifest.sequence, "spaces": spaces})
    return found


def _space(path: Path, space: snapshot.SavedSpace) -> dict[str, Any]:
    size = sum(file.size for file in space.files.values())
    told: dict[str, Any] = {"key": space.key, "schema": space.schema, "bytes": size}
    if STORE not in space.files:
        return told | {"rows": None, "form": "", "segments": 0, "removed": 0}
    saved = read_saved(path / space.folder)
    counts = [read_description(path / space.folder / SEGMENTS / one.folder).count for one in saved.segments]
    removed = sum(one.dead for one in saved.segments)
    form = {book.name: book.codes for book in saved.codebooks}.get(saved.newest, "flat")
    return told | {
        "rows": sum(counts) + saved.tail - removed,
        "form": form,
        "segments": len(counts),
        "removed": removed,
    }


def _tell(found: Verification) -> None:
    table = Table("what", "read", "problems")
    table.add_row(
        "log",
        f"{found.materials:,} materials, transaction {found.sequence:,}, {found.log_bytes / 1e6:,.1f} MB",
        _lines(found.problems),
    )
    for one in found.snapshots:
        compared = ", ".join(f"{escape(space.key)} {space.rows:,}" for space in one.spaces if space.compared)
        read = f"{one.files} files, {one.bytes / 1e6:,.1f} MB" + (f"; vectors of {compared}" if compared else "")
        table.add_row(f"snapshot {one.sequence}", read, _lines(one.problems))
    output.out.print(table)
    if any(one.problems for one in found.snapshots):
        output.out.print(
            "A snapshot is a short cut: a start passes over a damaged one and reads the log. "
            "To write a new one: sosie index snapshot"
        )
    if found.problems:
        output.out.print("The log is the truth: put a copy back with sosie index restore FOLDER")


def _lines(problems: list[str]) -> str:
    return "\n".join(escape(line) for line in problems) if problems else "[green]none[/green]"


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(index, name="index")
