"""May a version take the alias? The rules, apart from what they are applied to."""

from __future__ import annotations

from collections.abc import Sequence

from materials.errors import SosieError, UsageError
from model_plugins.library.library import Library, before
from model_plugins.library.records import PRODUCTION, AliasChange, Card, Verification


class Refused(SosieError):
    """A promotion that would make things worse, with the verification that says so, if there is one."""

    def __init__(self, reasons: Sequence[str], verification: Verification | None) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)
        self.verification = verification


def objections(card: Card, production: int, verification: Verification | None, missing: Sequence[str]) -> list[str]:
    """Why this version should not take `production`; empty when it may.

    Args:
        production: the version that has it now, 0 for none.
        verification: the newest of the candidate.
        missing: announced servers without this version.
    """
    found = []
    if verification is None:
        found.append(f"{card.key} was never verified: sosie model verify {card.key}")
    elif verification.digest != card.digest:
        found.append(f"{card.key} is not the version that was verified: sosie model verify {card.key}")
    else:
        if verification.baseline != production:
            against = f"{card.name}@{verification.baseline}" if verification.baseline else "nothing"
            found.append(
                f"{card.key} was verified against {against}, and production is {card.name}@{production}: "
                f"sosie model verify {card.key}"
            )
        found += [
            f"{figure.name} is {figure.candidate:.4f}, "
            f"{'above' if figure.lower_is_better else 'below'} the limit {figure.limit:.4f}"
            + (
                f" ({card.name}@{verification.baseline} has {figure.baseline:.4f})"
                if figure.baseline is not None
                else ""
            )
            for figure in verification.figures
            if not figure.passed
        ]
    return found + objections_of_serving(card, missing)


def check(
    library: Library, card: Card, *, missing: Sequence[str], alias: str = PRODUCTION, force: bool = False
) -> list[str]:
    """May the alias name this version?

    Only `production` asks for a verification; any alias asks that its version is served.

    Args:
        missing: announced servers without this version.
        force: whatever a verification says against it is overruled; that it is served is not optional even then.

    Returns:
        What was overruled.

    Raises:
        Refused: with every reason.
    """
    verifications = library.verifications(card.name, card.version)
    verification = verifications[-1] if verifications else None
    against = objections_of_serving(card, missing)
    if alias == PRODUCTION:
        against = objections(card, library.target(card.name, alias), verification, missing)
    if against and (not force or missing):
        raise Refused(against, verification)
    return against


def promote(
    library: Library,
    card: Card,
    *,
    missing: Sequence[str],
    alias: str = PRODUCTION,
    force: bool = False,
    by: str = "",
    reason: str = "",
) -> AliasChange | None:
    """Record that the alias names this version; None when it already does. Publishing is the caller's next step.

    Args:
        missing, force: see `check`.

    Raises:
        Refused: with every reason.
        Conflict: the alias was moved meanwhile.
    """
    before_it = library.target(card.name, alias)
    if before_it == card.version:
        return None
    overruled = check(library, card, missing=missing, alias=alias, force=force)
    said = "; ".join([*([reason] if reason else []), *(f"overruled: {each}" for each in overruled)])
    return library.move(
        card.name,
        card.version,
        "promote",
        alias=alias,
        expected=before_it,
        by=by,
        forced=bool(overruled),
        reason=said,
    )


def objections_of_serving(card: Card, missing: Sequence[str]) -> list[str]:
    """As `objections`, for an alias that nobody guards."""
    return [f"{card.key} is not announced by {', '.join(missing)}: sosie model deploy {card.key}"] if missing else []


def rollback_target(library: Library, name: str, alias: str = PRODUCTION) -> int:
    """The version that a rollback goes back to.

    Raises:
        UsageError: there is no such model.
        SosieError: there is no earlier version.
    """
    history = library.history(name, alias)
    if not history:
        raise UsageError(f"the model library has no {name}@{alias}", "sosie model list")
    version = before(history)
    if not version:
        raise SosieError(f"{name}@{alias} has no earlier version to go back to; `sosie model promote` goes to any")
    return version
