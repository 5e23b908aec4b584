"""`sosie`: the entry point."""

from __future__ import annotations

import logging
import os
import sys

import structlog
import typer

from materials.errors import SosieError
from pipeline.cli import (
    announce,
    calibrate,
    cluster,
    content,
    content_explain,
    content_ids,
    demo,
    features,
    gateway,
    index,
    jobs,
    long_jobs,
    metrics,
    models,
    output,
    plugin_kit,
    plugins,
    reconcile,
    retry,
    stack,
    topics,
    trace,
)

app = typer.Typer(
    name="sosie",
    help="Understand and deduplicate what people post: streams in, content IDs out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
ROOMS = (
    demo,
    stack,
    jobs,
    long_jobs,
    cluster,
    content,
    calibrate,
    plugins,
    models,
    metrics,
    gateway,
    index,
    reconcile,
    retry,
    trace,
    topics,
)
for room in ROOMS:
    room.register(app)
features.add_to(content.content)
content_ids.add_to(content.content)
content_explain.add_to(content.content)
plugin_kit.add_to(plugins.plugin)
models.model.command("announce", epilog=announce.EPILOG)(announce.announce_command)


def run() -> None:
    """Run a command; an error of ours is one line and an exit code, never a stack trace."""
    _quiet_logs()
    try:
        app(standalone_mode=True)
    except SosieError as error:
        code = output.tell(error)
        sys.stdout.flush()
        _leave(code)
    except KeyboardInterrupt:
        output.err.print("[red]sosie:[/red] interrupted")
        _leave(130)


def _leave(code: int) -> None:
    """Exit at once: the Java gateway's threads would hold the interpreter after a failed job."""
    sys.stderr.flush()
    os._exit(code)


def _quiet_logs() -> None:
    """Warnings and worse, to standard error; `SOSIE_LOG=debug` for more."""
    level = getattr(logging, os.environ.get("SOSIE_LOG", "warning").upper(), logging.WARNING)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # A worker that runs in this process opens the root logger up to INFO, and kazoo tells each step of a connection.
    logging.getLogger("kazoo").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    run()
