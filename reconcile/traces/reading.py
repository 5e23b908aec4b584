"""Find traces in the local store: a search for bytes, and only the lines that hold them are decoded."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from reconcile.traces.records import Fragment, decode

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


class Trace(msgspec.Struct, frozen=True):
    """All that is kept of one trace and material, its fragments in the order of their starts."""

    trace_id: str
    material_id: str
    fragments: list[Fragment]

    @property
    def end(self) -> int:
        """Epoch nanoseconds of the last thing that is known."""
        return max(fragment.end for fragment in self.fragments)


def traces_of(folder: Path, name: str) -> list[Trace]:
    """Those of a material, the newest first; `name` may be a trace id instead.

    A material has several when it was read several times: by several jobs, or again after a job was restarted.
    """
    found: dict[tuple[str, str], list[Fragment]] = {}
    keys = ["trace_id", "material_id"] if _TRACE_ID.fullmatch(name) else ["material_id"]
    for fragment in _lines_with(folder, keys, name):
        found.setdefault((fragment.trace_id, fragment.material_id), []).append(fragment)
    traces = [
        Trace(trace_id, material_id, sorted(fragments, key=lambda each: (each.start, each.end)))
        for (trace_id, material_id), fragments in found.items()
    ]
    return sorted(traces, key=lambda trace: trace.end, reverse=True)


def _lines_with(folder: Path, keys: list[str], value: str) -> Iterator[Fragment]:
    needles = [f'"{key}":'.encode() + msgspec.json.encode(value) for key in keys]
    for path in sorted(folder.glob("*.jsonl")):
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for needle in needles:
                    for line in _around(data, needle):
                        fragment = _decoded(line)
                        if fragment is not None and value in (fragment.material_id, fragment.trace_id):
                            yield fragment
        except (FileNotFoundError, ValueError):  # tidied away meanwhile, or empty
            continue


def _around(data: mmap.mmap, needle: bytes) -> Iterator[bytes]:
    at = data.find(needle)
    while at >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        if end < 0:  # being written just now
            return
        yield data[start:end]
        at = data.find(needle, end)


def _decoded(line: bytes) -> Fragment | None:
    """None for a line that a kill cut short, into which the next one ran."""
    try:
        return decode(line)
    except msgspec.MsgspecError:
        return None
