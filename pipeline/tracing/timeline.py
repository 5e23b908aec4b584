"""A story on one screen of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.tracing.sentences import seconds
from pipeline.tracing.story import Step, Story

_BAR: Final = 32
_ROWS: Final = 30
_MERGED_MS: Final = 0.5
"""Steps that are shorter, and went well, give way first when there are too many for a screen."""
COLOURS: Final = {
    "unique": "green",
    "duplicate": "cyan",
    "rejected": "yellow",
    "dead": "red",
    "retry": "magenta",
    "deleted": "dim",
}


def drawn(story: Story) -> RenderableType:
    """Head, sentences, timeline."""
    colour = COLOURS.get(story.outcome, "white")
    moment = datetime.fromtimestamp(story.entered, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    revision = f" revision {story.revision}" if story.revision else ""
    head = (
        f"[bold]{escape(story.material_id)}[/bold]{revision} {story.kind} "
        f"[{colour}]{story.outcome}[/{colour}] in {seconds(story.total_ms)}   "
        f"[dim]entered {moment}Z from {escape(story.source or '?')}, job {escape(story.job)}[/dim]"
    )
    body: list[RenderableType] = [Text.from_markup(head), Text(f"trace {story.trace_id}", style="dim"), Text()]
    body += [Text(line, style="bold" if not number else "") for number, line in enumerate(story.sentences)]
    body += [Text(), _table(story)]
    shown = chosen(story.steps)
    if len(shown) < len(story.steps):
        hidden = len(story.steps) - len(shown)
        body.append(Text(f"{hidden} short steps are left out here: --json or --out FILE.html has all", style="dim"))
    if story.other_traces:
        body.append(Text(f"earlier traces of this material: {', '.join(story.other_traces)}", style="dim"))
    return Group(*body)


def _table(story: Story) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("at, ms", justify="right", no_wrap=True, min_width=9)
    table.add_column("step", overflow="ellipsis", no_wrap=True, min_width=24)
    table.add_column("took", justify="right", no_wrap=True, min_width=9)
    table.add_column("", width=_BAR, min_width=_BAR, no_wrap=True)
    for step in chosen(story.steps):
        style = "red" if step.error else "dim" if step.name.endswith("wait") or step.name == "backoff" else ""
        label = "  " * step.depth + step.what + (f"  ✗ {step.error}" if step.error else "")
        bar = Text(" " * _offset(step, story.total_ms) + "█" * _length(step, story.total_ms), style=style or "blue")
        table.add_row(f"{step.start_ms:.1f}", Text(label, style=style), seconds(step.ms), bar)
    return table


def chosen(steps: Sequence[Step], most: int = _ROWS) -> list[Step]:
    """At most `most` steps: all where they fit, else without the short ones that went well, deepest first."""
    kept = list(steps)
    for depth in (4, 3, 2, 1, 0):
        if len(kept) <= most:
            return kept
        kept = [step for step in kept if step.error or step.depth < depth or step.ms >= _MERGED_MS]
    longest = sorted(kept, key=lambda step: (not step.error, -step.ms))[:most]
    return [step for step in kept if step in longest]


def _offset(step: Step, total: float) -> int:
    return min(_BAR - 1, int(max(0.0, step.start_ms) / max(total, 1e-6) * _BAR))


def _length(step: Step, total: float) -> int:
    return max(1, min(_BAR - _offset(step, total), round(step.ms / max(total, 1e-6) * _BAR)))
