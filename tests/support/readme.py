"""Examples of the README and of pages in `docs`: fenced blocks behind `<!-- example: NAME -->`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_EXAMPLE = re.compile(r"<!-- example: ([a-z-]+) -->\n```(\w+)\n(.*?)\n```", re.DOTALL)


def examples(page: str = "README.md") -> dict[str, tuple[str, str]]:
    """Name -> (language, code), in the order of the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = {name: (language, code) for name, language, code in _EXAMPLE.findall(text)}
    assert len(found) == text.count("<!-- example:"), "each marker stands right above its block, with a name of its own"
    return found
