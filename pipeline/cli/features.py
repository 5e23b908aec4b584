"""`sosie content features`: what the plug-ins found in a material, decoded for people."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from materials.errors import Permanent
from materials.records import Feature, Features
from model_plugins.features import json_feature
from pipeline import lookups
from pipeline.cli import output
from pipeline.feature_reader import FeatureReader
from pipeline.jobs import state_folder

_BINARY: Final = frozenset({"pdq", "keypoints"})
"""Schemas of bytes that are no JSON."""
_FIRST: Final = 6
_LONGEST: Final = 400


def features(
    material_ids: Annotated[
        list[str], typer.Argument(metavar="MATERIAL_ID…", help="Media of a post are P1/0, P1/1, …")
    ],
    plugin: Annotated[
        list[str] | None, typer.Option("--plugin", help="NAME or NAME@VERSION; repeat it for several. Default: all.")
    ] = None,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """What the plug-ins found: tags, words and boxes as they are, vectors as shape, norm and first numbers."""
    wanted = plugin or []
    with FeatureReader(lookups.addresses(state_folder(state)).redis) as reader:
        keys = wanted if wanted and all("@" in name for name in wanted) else None
        found = {material_id: _chosen(of_it, wanted) for material_id, of_it in reader.get(material_ids, keys).items()}
    if as_json:
        output.print_json({i: {key: decoded(f) for key, f in of_it.items()} for i, of_it in found.items()})
    else:
        output.out.print(_table(found))
    if not all(found.values()):
        raise typer.Exit(output.EXIT_FAILED)


def decoded(feature: Feature) -> dict[str, Any]:
    """A feature as JSON: schema, dtype, shape, and `value` (of JSON, hashes, faces) or `norm` and `first`."""
    about: dict[str, Any] = {"schema": feature.schema, "dtype": feature.dtype, "shape": list(feature.shape)}
    if is_json(feature):
        return {**about, "value": json_feature.unpack(feature)}
    array = feature.array()
    if feature.schema == "pdq" and array.size == 33:
        return {**about, "value": {"hash": array[:32].tobytes().hex(), "quality": int(array[32])}}
    if feature.schema == "faces" and array.ndim == 2 and array.shape[1] > 4:
        faces = [[round(float(number), 4) for number in row[:5]] for row in array]
        return {**about, "value": [{"box": face[:4], "score": face[4]} for face in faces]}
    if array.ndim == 1 and array.dtype.kind == "f":
        norm = float(np.linalg.norm(array.astype(np.float64)))
        return {**about, "norm": round(norm, 4), "first": [round(float(x), 4) for x in array[:_FIRST]]}
    return {**about, "first": np.round(array.reshape(-1)[:_FIRST], 4).tolist()}


def is_json(feature: Feature) -> bool:
    """Whether `json_feature.pack` made it: bytes in one row that are a JSON document."""
    if feature.dtype != "uint8" or len(feature.shape) != 1 or feature.schema in _BINARY:
        return False
    try:
        json_feature.unpack(feature)
    except Permanent:
        return False
    return True


def told(value: Any, longest: int = _LONGEST) -> str:
    """A JSON value in one line for people; what is longer than `longest` characters ends in an ellipsis."""
    line = _told(value)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key}: {_told(item)}" for key, item in value.items() if item not in (None, "", [], {}))
    if isinstance(value, list):
        brief = [_brief(item) for item in value]
        return ", ".join(brief) if brief else "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _brief(item: Any) -> str:
    """An entry of a list; a name with its score as `cat 0.93`, other mappings in braces."""
    if isinstance(item, dict):
        scores = [value for value in item.values() if isinstance(value, float)]
        names = [value for value in item.values() if isinstance(value, str)]
        if len(item) == 2 and len(scores) == len(names) == 1:
            return f"{names[0]} {scores[0]:.3g}"
        return "{" + _told(item) + "}"
    return f"[{_told(item)}]" if isinstance(item, list) else _told(item)


def _chosen(found: Features, wanted: list[str]) -> Features:
    if not wanted:
        return found
    return {key: feature for key, feature in found.items() if key in wanted or key.partition("@")[0] in wanted}


def _table(found: dict[str, Features]) -> Table:
    table = Table("material", "plug-in", "schema", "value")
    for material_id, of_it in found.items():
        for key, feature in of_it.items():
            told_of = decoded(feature)
            value = told_of.get("value", {k: v for k, v in told_of.items() if k in ("dtype", "shape", "norm", "first")})
            table.add_row(escape(material_id), key, feature.schema, escape(told(value)))
        if not of_it:
            table.add_row(escape(material_id), "", "", "[red]no features[/red]: unknown, expired, or not asked for")
    return table


def add_to(group: typer.Typer) -> None:
    """Add the command to `sosie content`."""
    group.command("features", epilog="[bold]Example[/bold]: sosie content features P1 P1/0 --plugin image-tags")(
        features
    )
