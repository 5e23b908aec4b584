"""`sosie retry list|replay|drop`: what waits for another attempt, and what a person does about it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from redis.exceptions import RedisError
from rich.markup import escape
from rich.table import Table

from materials.errors import Retryable, UsageError
from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.person import person
from reconcile.retry import folders
from reconcile.retry.entry import Entry
from reconcile.retry.queue import RetryQueue
from reconcile.retry.selection import Selection, seconds_of
from reconcile.retry.server import connect

retry = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

Materials = Annotated[list[str] | None, typer.Argument(metavar="[MATERIAL_ID…]", help="Default: all that match.")]
Older = Annotated[str, typer.Option("--older", metavar="AGE", help="First tried longer ago than that: 90s, 15m, 2h.")]
Younger = Annotated[str, typer.Option("--younger", metavar="AGE", help="First tried since then.")]
Error = Annotated[str, typer.Option("--error", help="A part of the error's class or message.")]
Plugin = Annotated[str, typer.Option("--plugin", help="The plug-in that failed, with or without its version.")]
Biz = Annotated[str, typer.Option("--biz", help="The record's `biz`.")]
Job = Annotated[str, typer.Option("--job", help="The job's name.")]
All = Annotated[bool, typer.Option("--all", help="Really all, where nothing else is given.")]


@retry.command("list", epilog="[bold]Example[/bold]: sosie retry list --plugin image-embedding --older 10m")
def list_(
    material_ids: Materials = None,
    older: Older = "",
    younger: Younger = "",
    error: Error = "",
    plugin: Plugin = "",
    biz: Biz = "",
    job: Job = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows; the counts are of all.")] = 50,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Records that wait for another attempt, those that are due first."""
    chosen = _selection(material_ids, older, younger, error, plugin, biz, job)
    folder, now = state_folder(state), time.time()
    with _queue(folder) as queue:
        found = sorted(queue.entries(lambda each: chosen.matches(each, now)), key=lambda each: each.due_at)
        _name_others(queue, chosen, found)
    on_the_way = len(folders.handed_files(folder))
    if as_json:
        causes = Counter(f"{each.error}: {each.plugin}" if each.plugin else each.error for each in found)
        rows = [_row(each, now) for each in found[:limit]]
        output.print_json({"waiting": len(found), "causes": causes, "files_on_the_way": on_the_way, "entries": rows})
        return
    if not found:
        output.out.print("nothing waits" + (f"; {on_the_way} hand-over files are on their way" if on_the_way else ""))
        return
    output.out.print(_table(found[:limit], now))
    output.out.print(f"{len(found)} wait" + (f", {limit} of them shown" if len(found) > limit else ""))


@retry.command("replay", epilog="[bold]Example[/bold]: sosie retry replay --error ServerGone")
def replay(
    material_ids: Materials = None,
    older: Older = "",
    younger: Younger = "",
    error: Error = "",
    plugin: Plugin = "",
    biz: Biz = "",
    job: Job = "",
    everything: All = False,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Try records again now instead of when they are due. Twice is as good as once."""
    chosen = _selection(material_ids, older, younger, error, plugin, biz, job)
    _refuse_everything(chosen, everything, "replay")
    now = time.time()
    with _queue(state_folder(state)) as queue:
        found = list(queue.entries(lambda each: chosen.matches(each, now)))
        changed = queue.replay(found, now)
        _name_others(queue, chosen, found)
    _tell({"matched": len(found), "replayed": changed}, as_json, f"{changed} of {len(found)} are due now")
    _name_absent(chosen, found)


@retry.command("drop", epilog="[bold]Example[/bold]: sosie retry drop P1 P7 --why 'deleted by their author'")
def drop(
    material_ids: Materials = None,
    older: Older = "",
    younger: Younger = "",
    error: Error = "",
    plugin: Plugin = "",
    biz: Biz = "",
    job: Job = "",
    everything: All = False,
    why: Annotated[str, typer.Option("--why", help="The reason; it stands in the outcome.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who decides. Default: your user name.", show_default=False)] = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Give records up: their job writes the outcome `dead` with your reason, and a dead letter."""
    chosen = _selection(material_ids, older, younger, error, plugin, biz, job)
    _refuse_everything(chosen, everything, "drop")
    now = time.time()
    reason = f"by {by or person() or 'somebody'}" + (f": {why}" if why else "")
    with _queue(state_folder(state)) as queue:
        found = list(queue.entries(lambda each: chosen.matches(each, now)))
        changed = queue.drop(found, reason, now)
        _name_others(queue, chosen, found)
    _tell({"matched": len(found), "dropped": changed}, as_json, f"{changed} of {len(found)} are given up")
    _name_absent(chosen, found)


@contextmanager
def _queue(folder: Path) -> Iterator[RetryQueue]:
    connection = connect(lookups.addresses(folder).redis)
    try:
        yield RetryQueue(connection)
    except (RedisError, OSError) as error:
        raise Retryable(f"the retry queue does not answer: {error}") from error
    finally:
        connection.close()


def _selection(
    material_ids: list[str] | None, older: str, younger: str, error: str, plugin: str, biz: str, job: str
) -> Selection:
    return Selection(
        material_ids=frozenset(material_ids or ()),
        older_s=seconds_of(older) if older else 0.0,
        younger_s=seconds_of(younger) if younger else float("inf"),
        error=error,
        plugin=plugin,
        biz=biz,
        job=job,
    )


def _refuse_everything(chosen: Selection, everything: bool, command: str) -> None:
    if chosen.is_everything and not everything:
        raise UsageError(f"say which records to {command}", f"sosie retry {command} --error … or --all")


def _name_absent(chosen: Selection, found: list[Entry]) -> None:
    """Materials that a person named and that are not among what was found."""
    absent = sorted(chosen.material_ids - {entry.material_id for entry in found})
    if absent:
        names = escape(", ".join(absent[:8]) + ("…" if len(absent) > 8 else ""))
        told = f"[red]sosie:[/red] {names} {'does' if len(absent) == 1 else 'do'} not wait, or not so as asked"
        output.err.print(f"{told} [dim]→ sosie content get {escape(absent[0])}[/dim]", soft_wrap=True)
        raise typer.Exit(output.EXIT_FAILED)


def _name_others(queue: RetryQueue, chosen: Selection, found: list[Entry]) -> None:
    """Nothing failed in the plug-in that a person named: those in which something did, since the name may be wrong.

    No failure: a plug-in of which nothing waits is a good answer, too.
    """
    if found or not chosen.plugin:
        return
    failed = Counter(entry.plugin for entry in queue.entries() if entry.plugin)
    if not failed or any(chosen.plugin in (name, name.partition("@")[0]) for name in failed):
        return  # the name is right, and another condition took all away; or nothing waits for any plug-in's sake
    told = ", ".join(f"{name} ({count})" for name, count in failed.most_common(8))
    line = f"nothing waits that failed in {chosen.plugin!r}; what waits failed in {told}"
    output.err.print(f"[yellow]sosie:[/yellow] {escape(line)}", soft_wrap=True)


def _row(entry: Entry, now: float) -> dict[str, object]:
    return {
        "material_id": entry.material_id,
        "revision": entry.revision,
        "kind": entry.kind,
        "job": entry.job,
        "run_id": entry.run_id,
        "biz": entry.biz,
        "plugin": entry.plugin,
        "error": entry.error,
        "message": entry.message,
        "attempt": entry.attempt,
        "age_s": round(now - entry.entered_at, 1),
        "due_in_s": round(entry.due_at - now, 1),
        "trace_id": entry.trace_id,
        "dropped": entry.dropped,
    }


def _table(entries: list[Entry], now: float) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("material", "kind", "plug-in", "error", "attempts", "age", "due in"):
        table.add_column(name, justify="right" if name in ("attempts", "age", "due in") else "left")
    for each in entries:
        message = f"{each.error}: {each.message}"
        table.add_row(
            escape(each.material_id),
            each.kind or "",
            each.plugin,
            escape(message if len(message) <= 80 else message[:79] + "…"),
            str(each.attempt),
            f"{now - each.entered_at:.0f} s",
            "given up" if each.dropped else f"{max(0.0, each.due_at - now):.0f} s",
        )
    return table


def _tell(told: dict[str, int], as_json: bool, line: str) -> None:
    if as_json:
        output.print_json(told)
    else:
        output.out.print(line)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(retry, name="retry", help="Records that wait for another attempt.")
