"""`sosie topics`: Kafka topics of a job, and the rule that chooses each result's topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from materials.errors import UsageError
from pipeline import topic_operations as operations
from pipeline.cli import output
from pipeline.jobs import checked, state_folder
from pipeline.kafka.rules import TopicRule

topics = typer.Typer(
    help="Kafka topics of a job, and the rule that chooses each result's topic while it runs.", no_args_is_help=True
)
Spec = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job's spec.", show_default=False)]


@topics.command("create", epilog="[bold]Example[/bold]: sosie topics create job.yaml --partitions 4")
def create(
    spec: Spec,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic that is made.")] = 2,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Make the topics that a job reads and writes, where they are not there."""
    job = checked(spec, state)
    made = operations.create_topics(job, state_folder(state, job), partitions, replication)
    if as_json:
        output.print_json({"made": made})
    else:
        output.out.print(f"made {', '.join(made)}" if made else "all topics are there", soft_wrap=True)


@topics.command(
    "set",
    epilog="[bold]Example[/bold]: sosie topics set job.yaml --field biz --to feed=results-feed --to ads=results-ads",
)
def set_rule(
    spec: Spec,
    field: Annotated[str, typer.Option(help="A field of the record or of its outcome, e.g. biz.")] = "",
    to: Annotated[list[str] | None, typer.Option(metavar="VALUE=TOPIC", help="Repeatable, with --field.")] = None,
    function: Annotated[
        str, typer.Option(metavar="PATH", help="package.module:function; the spec lists it under sink.functions.")
    ] = "",
    allow: Annotated[
        list[str] | None, typer.Option(metavar="TOPIC", help="What the function may answer. Repeatable.")
    ] = None,
    default: Annotated[str, typer.Option(metavar="TOPIC", help="For all else; the sink's own by default.")] = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Choose the topic of each result by a field or a function. Jobs of that name that run follow within a second.

    The topics are made first. A value or an answer that the rule does not list goes to the default topic.
    """
    job = checked(spec, state)
    rule = TopicRule(
        field=field, topics=_pairs(to or []), function=function, allowed=tuple(allow or ()), default=default
    )
    made = operations.set_rule(job, state_folder(state, job), rule)
    if as_json:
        output.print_json({"job": job.name, "rule": rule, "made": made})
        return
    output.out.print(_told(job.name, rule), soft_wrap=True)
    if made:
        output.out.print(f"made {', '.join(made)}", soft_wrap=True)


@topics.command("show", epilog="[bold]Example[/bold]: sosie topics show job.yaml")
def show(spec: Spec, state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Show the rule of a job."""
    job = checked(spec, state)
    rule = operations.current_rule(job, state_folder(state, job))
    if as_json:
        output.print_json({"job": job.name, "rule": rule})
    else:
        output.out.print(_told(job.name, rule), soft_wrap=True)


@topics.command("clear", epilog="[bold]Example[/bold]: sosie topics clear job.yaml")
def clear(spec: Spec, state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Take the rule away: results go to the sink's own topic again."""
    job = checked(spec, state)
    operations.clear_rule(job, state_folder(state, job))
    if as_json:
        output.print_json({"job": job.name, "rule": None})
    else:
        output.out.print(_told(job.name, None), soft_wrap=True)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for each in given:
        value, equals, topic = each.rpartition("=")
        if not equals or not topic:
            raise UsageError(f"--to {each!r} names no topic", "write --to VALUE=TOPIC, e.g. --to ads=results-ads")
        pairs[value] = topic
    return pairs


def _told(job: str, rule: TopicRule | None) -> str:
    if rule is None:
        return f"{escape(job)}: no rule; results go to the sink's own topic"
    chosen = rule.topics if rule.field else list(rule.allowed)
    by = f"by field {rule.field}" if rule.field else f"by {rule.function}"
    default = f"; all else to {rule.default}" if rule.default else ""
    return f"{escape(job)}: {escape(by)}: {escape(msgspec.json.encode(chosen).decode())}{escape(default)}"


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(topics, name="topics")
