"""`docs/hostile-input.md` lists each code with which we refuse something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ("materials", "pipeline", "model_plugins", "vector_index")
CODE = re.compile(r"[a-z]+(_[a-z0-9]+)*")
SPELT_OUT = ("pipeline/understanding.py", "vector_index/decision.py")
"""Where reasons are written whole, as `code: sentence`."""


def codes_of(path: Path) -> Iterator[str]:
    """First arguments of `Rejected`, and beginnings of whole reasons."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value
    if str(path.relative_to(ROOT)) in SPELT_OUT:
        yield from re.findall(r'"([a-z_]+): ', text)


def test_each_code_is_on_the_page() -> None:
    page = (ROOT / "docs" / "hostile-input.md").read_text(encoding="utf-8")
    table = page.partition("## Reasons")[2].partition("\n## ")[0]
    listed = {word for row in table.splitlines() if row.startswith("|") for word in re.findall(r"`([^`]+)`", row)}
    used = {code for room in ROOMS for path in (ROOT / room).rglob("*.py") for code in codes_of(path)}
    assert {"missing_file", "retries_spent", "dropped", "conflicting_material"} <= used, "they are found"
    assert all(CODE.fullmatch(code) for code in used), used
    assert used - listed == set()
