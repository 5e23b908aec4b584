"""The README's examples: fenced blocks behind `<!-- example: NAME -->`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_EXAMPLE = re.compile(r"<!-- example: ([a-z-]+) -->\n```(\w+)\n(.*?)\n```", re.DOTALL)


def examples() -> dict[str, tuple[str, str]]:
    """Name -> (language, code)."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = {name: (language, code) for name, language, code in _EXAMPLE.findall(text)}
    assert len(found) == text.count("<!-- example:"), "each marker stands right above its block, with a name of its own"
    return found
