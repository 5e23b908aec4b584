"""Which topic a result goes to: by a field of its record, or by a function that the job's spec allows.

A rule can only choose among topics that it lists, and these are made before it takes effect: what strangers write into
a record never makes a topic.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from materials.errors import UsageError
from materials.records import Outcome

Choose = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
"""(input record, outcome) -> topic; None: the default one. Both as they stand in JSON; the record is empty for a line
that could not be read."""
_log = structlog.get_logger(__name__)
_json = msgspec.json.Decoder()


class TopicRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `sosie topics set` writes. `field` with `topics` (value -> topic), or `function` with `allowed`.

    `default`: for everything else; empty: the sink's own topic. A field is one of the input record (`biz`) or of the
    outcome (`outcome`, `kind`).
    """

    default: str = ""
    field: str = ""
    topics: dict[str, str] = {}
    function: str = ""
    allowed: tuple[str, ...] = ()

    def every_topic(self) -> tuple[str, ...]:
        """All topics that the rule can choose."""
        named = {self.default, *self.topics.values(), *self.allowed}
        return tuple(sorted(named - {""}))


class TopicChooser:
    """A rule, ready to use.

    Args:
        rule: what to do.
        default: the sink's own topic.
        functions: dotted paths that the job's spec allows.

    Raises:
        UsageError: the rule names a function that is not allowed, or cannot be loaded.
    """

    def __init__(self, rule: TopicRule, default: str, functions: tuple[str, ...] = ()) -> None:
        self._rule = rule
        self._default = rule.default or default
        self._allowed = {self._default, *rule.allowed}
        self._choose = load_function(rule.function, functions) if rule.function else None
        self._complaints = 0

    def topic(self, outcome: Outcome, line: bytes) -> str:
        """The topic of one result. A function that fails, or names a topic not listed, gives the default one."""
        rule = self._rule
        if rule.field:
            value = getattr(outcome, rule.field, None) if rule.field in outcome.__struct_fields__ else None
            if value is None:
                value = _record(line).get(rule.field)
            return rule.topics.get(value, self._default) if isinstance(value, str) else self._default
        if self._choose is None:
            return self._default
        try:
            chosen = self._choose(_record(line), msgspec.to_builtins(outcome))
        except Exception:  # a person's function: the result goes to the default topic, and is not lost to its fault
            self._complain("topic_function_failed", exc_info=True)
            return self._default
        if chosen is not None and chosen not in self._allowed:
            self._complain("topic_not_listed", chosen=str(chosen)[:80])
        return chosen if chosen in self._allowed and chosen is not None else self._default

    def _complain(self, event: str, **more: Any) -> None:
        """Counted, and told at the 1st, 2nd, 4th, 8th … time: a function that fails would fail for every record."""
        self._complaints += 1
        if self._complaints.bit_count() == 1:
            _log.warning(event, function=self._rule.function, results=self._complaints, topic=self._default, **more)


def load_function(path: str, allowed: tuple[str, ...]) -> Choose:
    """The function at `package.module:function`.

    Raises:
        UsageError: it is not on the spec's list (a rule must not run whatever it names), or cannot be loaded.
    """
    if path not in allowed:
        raise UsageError(f"the job does not allow the topic function {path}", "list it under `sink.functions`")
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the topic function {path} cannot be loaded: {error}", "install its package") from error
    if not callable(found):
        raise UsageError(f"{path} is no function", "name one that takes (record, outcome)")
    choose: Choose = found
    return choose


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = _json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
