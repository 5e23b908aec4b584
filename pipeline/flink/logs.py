"""Logging inside a Flink worker: into its own log, through the standard library."""

from __future__ import annotations

import structlog


def to_worker_log() -> None:
    """Send structlog to `logging`, which Flink collects; in the client's own process the command line has its way.

    Structlog's default would call `print(flush=True)`, which PyFlink replaces by one that does not take `flush`.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"], sort_keys=True),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
