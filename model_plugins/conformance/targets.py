"""What `sosie plugin check PATH` may name: a package folder, a wheel, a module file, a dotted path or a known name."""

from __future__ import annotations

import ast
import configparser
import inspect
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import msgspec

from materials.errors import UsageError
from model_plugins.registry import GROUP

_REMEDY = "name the folder that `sosie plugin new` wrote, a wheel, FILE.py[:Class] or package.module:Class"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A plug-in class to be loaded in a child.

    `path`: `module:Class`. `folders`: put before the import path. `file`: of the module, when it may not be importable
    by its name. `name`: what the entry point calls it, "" without one.
    """

    path: str
    folders: tuple[str, ...] = ()
    file: str = ""
    name: str = ""


def target_of(plugin: type) -> Target:
    """The class of a plug-in that is loaded here already."""
    file = sys.modules[plugin.__module__].__file__ if plugin.__module__ in sys.modules else inspect.getfile(plugin)
    return Target(path=f"{plugin.__module__}:{plugin.__qualname__}", file=str(Path(file or "").resolve()))


def resolve(path: str) -> list[Target]:
    """What PATH names; runs no code of it.

    Raises:
        UsageError: there is nothing, or nothing that declares a plug-in.
    """
    place, _, class_name = path.partition(":")
    here = Path(place)
    if here.is_dir():
        return _declared(_of_folder(here), here)
    if here.suffix == ".whl" and here.is_file():
        return _declared(_of_wheel(here), here)
    if here.suffix == ".py" and here.is_file():
        names = [class_name] if class_name else _classes(here)
        if len(names) != 1:
            known = ", ".join(names) or "none"
            raise UsageError(f"{here} has {len(names)} classes that look like a plug-in: {known}", f"{here}:CLASS")
        return [Target(path=f"{here.stem}:{names[0]}", folders=(str(here.parent.resolve()),), file=str(here.resolve()))]
    if class_name and not here.exists():
        return [Target(path=path, folders=(str(Path.cwd()),))]
    for point in entry_points(group=GROUP):
        if point.name == path:
            return [Target(path=point.value, name=point.name)]
    raise UsageError(f"there is no plug-in at {path!r}", _REMEDY)


def _declared(points: dict[str, str], place: Path) -> list[Target]:
    if not points:
        raise UsageError(f"{place} declares no entry point of the group {GROUP!r}", 'NAME = "package.module:Class"')
    folder = str(place.resolve())
    return [Target(path=value, folders=(folder,), name=name) for name, value in points.items()]


def _of_folder(folder: Path) -> dict[str, str]:
    project = folder / "pyproject.toml"
    try:
        declared = tomllib.loads(project.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} has no pyproject.toml", _REMEDY) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{project} cannot be read: {error}", "correct that line of the file") from error
    points = declared.get("project", {}).get("entry-points", {}).get(GROUP, {})
    return {name: value for name, value in points.items() if isinstance(value, str)}


def _of_wheel(wheel: Path) -> dict[str, str]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
            text = archive.read(names[0]).decode("utf-8") if names else ""
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.read_string(text)
    except (zipfile.BadZipFile, configparser.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{wheel} cannot be read: {error}", "build it again") from error
    return dict(parser[GROUP]) if parser.has_section(GROUP) else {}


def _classes(file: Path) -> list[str]:
    """Classes that define `interpret` or `fuse`, by name."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no Python: {error}", "correct that line of the file") from error
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if methods & {"interpret", "fuse"}:
                found.append(node.name)
    return found
