"""Refuses what FastAPI passes over in silence: query parameters that are unknown, or given twice."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches

from fastapi import Request

from pipeline.gateway.problems import FieldProblem, ProblemError


def known_query(request: Request) -> None:
    """A dependency of every route.

    Raises:
        ProblemError: 422, with the nearest known parameter.
    """
    given = Counter(name for name, _ in request.query_params.multi_items())
    if not given:
        return
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    errors = []
    for name, times in given.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            errors.append(FieldProblem(field=f"query.{name[:100]}", problem="unknown parameter", remedy=remedy))
        elif times > 1:
            errors.append(FieldProblem(field=f"query.{name}", problem=f"given {times} times", remedy="give it once"))
    if errors:
        first = errors[0]
        raise ProblemError(422, "invalid-request", f"{first.field}: {first.problem}", first.remedy, errors)
