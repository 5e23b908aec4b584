"""Policies: the thresholds of one business scene. A content ID belongs to one policy.

The shipped ones are `vector_index/data/policies.yaml`; a file of the same form beside the index's log (`policies.yaml`)
adds policies and overrides what it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import yaml

from materials.errors import UsageError
from materials.records import KINDS, Candidate, Kind

FILE_NAME = "policies.yaml"
_FORM = "policies: {NAME: {thresholds: {image: 0.8, video: 0.7, post: 0.4}, margin: 0.2}}"


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a threshold reached on pairs that its fit never saw. `gap`: in words, what that does not show."""

    precision: float
    recall: float
    same: int
    different: int
    by: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two materials share a content ID.

    `thresholds`: by kind, the score at which a material joins the *centre* of a cluster; an exemplar it joins
    only at threshold + `margin`, which keeps clusters from chaining.

    `references`: the values of `biz` that make a material a reference. With any, the policy has a reference bank:
    a material is compared with references only, so that two copies meet at the reference that both come from; one that
    comes from none has a content ID of its own. Without, everything is compared with everything.

    `partial`: report the best partial copy (`part_of`, `contains`, `overlaps`) from the threshold up as the match; the
    material keeps a content ID of its own.

    `measured`: by kind, for people.
    """

    name: str
    thresholds: Mapping[Kind, float]
    margin: float
    references: tuple[str, ...] = ()
    partial: bool = False
    measured: Mapping[Kind, Measured] = {}

    def centre_threshold(self, kind: Kind) -> float:
        """Score from which a cluster's centre is joined."""
        return self.thresholds[kind]

    def member_threshold(self, kind: Kind) -> float:
        """Score from which an exemplar is joined; never out of reach."""
        return min(self.thresholds[kind] + self.margin, (1.0 + self.thresholds[kind]) / 2)

    def is_reference(self, biz: str) -> bool:
        """Whether later materials are compared with one of this `biz`."""
        return not self.references or biz in self.references

    def partial_match(self, kind: Kind, candidates: list[Candidate]) -> Candidate | None:
        """The best partial copy that the policy reports, None where there is none."""
        if not self.partial:
            return None
        enough = [c for c in candidates if c.relation not in ("same", "related") and c.score >= self.thresholds[kind]]
        return max(enough, key=lambda c: c.score, default=None)


def read_policies(text: str, source: str, known: Mapping[str, Policy]) -> dict[str, Policy]:
    """The known policies with those of a YAML text added; of a known one only what the text names is changed.

    Args:
        source: names the text in errors.

    Raises:
        UsageError: no YAML of that form, a wrong value, an unknown key, a new policy that lacks a threshold.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{source} is no YAML: {' '.join(str(error).split())}", f"write it as {_FORM}") from None
    given = raw.get("policies") if isinstance(raw, dict) else None
    if not isinstance(given, dict) or set(raw) != {"policies"}:
        raise UsageError(f"{source} holds no policies", f"write it as {_FORM}")
    policies = dict(known)
    for name, changes in given.items():
        policies[str(name)] = _changed(str(name), changes, policies.get(str(name)), source)
    return policies


def _changed(name: str, changes: Any, base: Policy | None, source: str) -> Policy:
    if not isinstance(changes, dict):
        raise UsageError(f"{source}: policy {name} is no mapping", f"write it as {_FORM}")
    fields: dict[str, Any] = {} if base is None else msgspec.to_builtins(base)
    for key, value in changes.items():
        old = fields.get(key)
        fields[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    if "thresholds" in changes and base is not None:  # what was measured was measured at the other thresholds
        moved = changes["thresholds"] if isinstance(changes["thresholds"], dict) else {}
        told = changes.get("measured") or {}
        fields["measured"] = {k: v for k, v in fields["measured"].items() if k not in moved or k in told}
    try:
        policy = msgspec.convert({**fields, "name": name}, Policy)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: policy {name}: {error}", f"write it as {_FORM}") from None
    missing = [kind for kind in KINDS if kind not in policy.thresholds]
    wrong = [kind for kind, score in policy.thresholds.items() if not 0 < score < 1]
    if missing or wrong or not 0 <= policy.margin < 1:
        fault = f"has no threshold for {missing[0]}" if missing else "needs thresholds and a margin between 0 and 1"
        raise UsageError(f"{source}: policy {name} {fault}", f"write it as {_FORM}")
    return policy


def shipped() -> dict[str, Policy]:
    """The policies in the package."""
    return read_policies(files("vector_index").joinpath("data", FILE_NAME).read_text("utf-8"), FILE_NAME, {})


POLICIES: Mapping[str, Policy] = shipped()


def policies_of(folder: Path) -> dict[str, Policy]:
    """The shipped policies, with those of `folder`/policies.yaml over them where there is such a file.

    Raises:
        UsageError: the file cannot be read or used.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return dict(POLICIES)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend or remove it") from None
    return read_policies(text, str(path), POLICIES)


def policy_named(name: str, policies: Mapping[str, Policy] = POLICIES) -> Policy:
    """The policy of that name.

    Raises:
        UsageError: there is none; the remedy names the nearest.
    """
    try:
        return policies[name]
    except KeyError:
        near = get_close_matches(name, policies, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"unknown policy {name!r}", f"{hint}Known: {', '.join(policies)}") from None
