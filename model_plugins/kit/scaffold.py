"""Writes a new plug-in package from templates: it runs and passes its check as it is."""

from __future__ import annotations

import importlib.util
import keyword
import shutil
import string
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from materials.errors import UsageError
from model_plugins.conformance.manifest_promises import NAME
from model_plugins.protocol import MEDIA_KINDS, MediaKind
from model_plugins.registry import GROUP

MAX_NAME = 64
_SUFFIX = ".tmpl"
_SHARED = "package"


def write_package(name: str, parent: Path, kind: MediaKind = "image", *, with_model: bool = False) -> Path:
    """Write `parent`/`name`: pyproject.toml, one flat package with the plug-in, a test, a README.

    Args:
        name: of the plug-in, e.g. `colour-histogram`; its package is `colour_histogram`, its class `ColourHistogram`.
        kind: of medium.
        with_model: the plug-in names a model instead of computing the feature itself.

    Returns:
        The folder.

    Raises:
        UsageError: an unusable name, an unknown kind, or a folder that exists.
    """
    check_name(name)
    if kind not in MEDIA_KINDS:
        raise UsageError(f"there is no kind {kind!r}", f"one of {', '.join(MEDIA_KINDS)}")
    folder = parent / name
    words = words_of(name)
    templates = files("model_plugins.kit") / "templates"
    texts = {
        **_filled(templates / _SHARED, words),
        **_filled(templates / (f"{kind}_model" if with_model else kind), words, under=f"{words['package']}/"),
    }
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} is there already", "choose another name, or remove it") from None
    try:
        for place, text in texts.items():
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)  # half a package would only be in the way
        raise
    return folder


def words_of(name: str) -> dict[str, str]:
    """What the templates' `${…}` stand for: `colour-histogram` -> name, package, class, title."""
    parts = name.split("-")
    return {
        "name": name,
        "package": "_".join(parts),
        "class_name": "".join(part.capitalize() for part in parts),
        "title": " ".join(parts).capitalize(),
    }


def check_name(name: str) -> None:
    """A name that a plug-in, a Python package and a class can have, and that nobody has.

    Raises:
        UsageError: with what is wrong with it.
    """
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise UsageError(
            f"{name!r} cannot be the name of a plug-in",
            f"small letters, digits and single hyphens, a letter first, at most {MAX_NAME}: colour-histogram",
        )
    package = words_of(name)["package"]
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        raise UsageError(f"{name!r} is a word of Python", f"say more: {name}-plugin")
    if package in sys.stdlib_module_names or package in sys.builtin_module_names:
        raise UsageError(f"{name!r} is a module of Python's own", f"say more: {name}-plugin")
    taken = [point.value for point in entry_points(group=GROUP) if point.name == name]
    if taken:
        raise UsageError(f"{name!r} is a plug-in already: {taken[0]}", "choose another name")
    if importlib.util.find_spec(package) is not None:
        raise UsageError(f"a package {package!r} is installed already", "choose another name")


def _filled(folder: Traversable, words: Mapping[str, str], under: str = "") -> dict[str, str]:
    """Path in the new package -> text. `PACKAGE` in a path stands for the package's name."""
    texts: dict[str, str] = {}
    for entry in folder.iterdir():
        place = under + entry.name.replace("PACKAGE", words["package"]).removesuffix(_SUFFIX)
        if entry.is_dir():
            texts.update(_filled(entry, words, f"{place}/"))
        elif entry.name.endswith(_SUFFIX):
            texts[place] = string.Template(entry.read_text(encoding="utf-8")).substitute(words)
    return texts
