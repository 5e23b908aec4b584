"""What a promise of the plug-in protocol is, and how a broken one is told.

A promise is a `test_` method marked with `promise`: pytest runs it in an author's test class, `sosie plugin check` runs
it in a child. A method breaks its promise by raising; it passes by returning.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol
from unittest import SkipTest

from model_plugins import protocol

_PREFIX = "test_"
_MINE = Path(__file__).parent


@dataclass(frozen=True)
class Promise:
    """`test`: the method. `promised`: one sentence. `see`: a phrase of the protocol's documentation. `change`: what an
    author usually has to do. `needs`: promises (methods) without which this one cannot be judged."""

    test: str
    promised: str
    see: str
    change: str
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """As reports show it: `prepare-is-deterministic`."""
        return self.test.removeprefix(_PREFIX).replace("_", "-")


class BrokenPromise(AssertionError):
    """Args:
    happened: what was seen instead. example: title of the example or of the odd medium. change: what to do about
        it, where that is more exact than the promise's own advice.
    """

    def __init__(self, happened: str, example: str = "", change: str = "") -> None:
        super().__init__(happened)
        self.happened = happened
        self.example = example
        self.change = change
        self.promise: Promise | None = None

    def __str__(self) -> str:
        lines = [self.happened]
        if self.example:
            lines.append(f"example:  {self.example}")
        if self.promise is not None:
            lines.append(f"promised: {self.promise.promised}")
            lines.append(f"change:   {self.change or self.promise.change}")
            lines.append(f"see:      {where(self.promise.see)}")
        return "\n".join(lines)


class DoesNotApply(Exception):
    """The plug-in does not make this promise at all (it calls no model, it does not fuse)."""


class Judged(Protocol):
    """What a marked method is a method of."""

    def demand_needs(self, promise: Promise) -> None:
        """Raise SkipTest when one of the promise's needs is broken."""
        ...

    def remember(self, promise: Promise, outcome: BaseException | None) -> None:
        """Keep how it ended, for those that need it."""
        ...

    def doing(self) -> tuple[str, str]:
        """The plug-in's function that ran last, and the title of its example."""
        ...


def promise(
    promised: str, *, see: str, change: str, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Mark a method of the suite as the judge of one promise.

    Whatever the plug-in's code raises inside it breaks the promise, with the line of the author's file.
    """

    def mark(judge: Callable[[Any], None]) -> Callable[[Any], None]:
        made = Promise(judge.__name__, promised, see, change, needs)

        @functools.wraps(judge)
        def test(self: Judged) -> None:
            outcome: BaseException | None = None
            try:
                self.demand_needs(made)
                judge(self)
            except BrokenPromise as error:
                error.promise, outcome = made, error
                raise
            except SkipTest as error:
                outcome = error
                raise
            except DoesNotApply as error:
                outcome = error
            except Exception as error:  # foreign code: whatever it raises is the finding
                what, example = self.doing()
                broken = BrokenPromise(f"{what} raised {described(error)}", example)
                broken.promise, outcome = made, broken
                raise broken from error
            finally:
                self.remember(made, outcome)

        test.promise = made  # type: ignore[attr-defined]
        return test

    return mark


def demand(condition: object, happened: str, example: str = "", change: str = "") -> None:
    """Raise BrokenPromise unless it holds."""
    if not condition:
        raise BrokenPromise(happened, example, change)


def broken(happened: str, example: str = "", change: str = "") -> NoReturn:
    """Raise BrokenPromise."""
    raise BrokenPromise(happened, example, change)


def described(error: BaseException) -> str:
    """`ValueError('…') at colours.py:31`: the innermost line outside of this suite and of libraries, if any."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_authors(Path(frame.filename))]
    said = repr(error) if len(repr(error)) <= 300 else repr(error)[:300] + "…"
    return f"{said} at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else said


def _is_authors(path: Path) -> bool:
    library = {"site-packages", "dist-packages", f"python{'.'.join(('3', '11'))}"}
    return not library & set(path.parts) and not path.is_relative_to(_MINE) and not path.name.startswith("<")


def where(phrase: str) -> str:
    """The line of the protocol's documentation that has this phrase: `model_plugins/protocol.py:103: "…"`."""
    source = Path(protocol.__file__)
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        if phrase in line:
            return f'model_plugins/{source.name}:{number}: "{phrase}"'
    return f'model_plugins/{source.name}: "{phrase}"'
