"""What an error from the JVM says, in one line: Py4J hands over the whole stack trace as a text."""

from __future__ import annotations

import re

from pipeline.kafka.settings import SHADED

_PYTHON_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Rejected|Retryable|Permanent)\b.*", re.MULTILINE)


def root_cause(error: BaseException) -> str:
    """The innermost error; a Python worker's own where there is one."""
    text = str(error)
    _, traceback, tail = text.rpartition("Traceback (most recent call last)")
    python = _PYTHON_ERROR.findall(tail) if traceback else []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (python[:1] or _causes(text)[-1:] or lines[:1] or [type(error).__name__])[0][:500]


def java_reason(error: BaseException) -> str:
    """The innermost cause, class and message; Kafka's classes by their short names."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if "Exception" in line]
    told = (_causes(text)[-1:] or lines[:1] or [text[:200]])[0]
    return told.replace(f"{SHADED}org.apache.kafka.", "")[:400]


def _causes(text: str) -> list[str]:
    return [line.split("Caused by:", 1)[1].strip() for line in text.splitlines() if "Caused by:" in line]
