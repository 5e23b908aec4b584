"""Wheels: what is in one, whether it can be loaded here, and how it is unpacked. Nothing of it is ever run here."""

from __future__ import annotations

import configparser
import email.parser
import hashlib
import importlib.metadata
import io
import platform
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from materials.errors import UsageError
from model_plugins.registry.installed import GROUP

MAX_WHEEL = 64 * 1024**2
"""Bytes. Weights belong into the model library, not into a wheel."""
MAX_UNPACKED = 256 * 1024**2
MAX_FILES = 5000
_MAX_METADATA = 1024**2
_OURS = frozenset({"materials", "model_plugins", "vector_index", "reconcile", "deploy", "pipeline"})


class WheelRefused(UsageError):
    """A wheel that is not taken: why, and what would be right."""


class WheelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`targets`: plug-in name -> `package.module:Class`. `requires`: as `Requires-Dist` states them. `sha256`: hex."""

    file_name: str
    distribution: str
    version: str
    targets: dict[str, str]
    requires: tuple[str, ...]
    sha256: str


def sha256_of(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


def read_wheel(data: bytes, file_name: str) -> WheelInfo:
    """What a wheel says of itself; it must be for this interpreter and hold at least one plug-in.

    Raises:
        WheelRefused: it cannot be loaded here.
    """
    if len(data) > MAX_WHEEL:
        raise WheelRefused(
            f"{file_name} has {len(data) / 1e6:.0f} MB; {MAX_WHEEL / 1e6:.0f} are allowed", "sosie model add: weights"
        )
    try:
        name, version, _, tags = parse_wheel_filename(file_name)
    except InvalidWheelFilename as error:
        raise WheelRefused(f"{file_name} is not named as a wheel is: {error}", "build it again") from error
    if tags.isdisjoint(sys_tags()):
        found = ", ".join(sorted(map(str, tags)))
        raise WheelRefused(f"{file_name} is for {found}, and not for this Python", "build a pure one: py3-none-any")
    with _opened(data, file_name) as archive:
        members = {member.filename: member for member in _checked(archive)}
        info = _info_folder(members, file_name)
        metadata = email.parser.HeaderParser().parsestr(_text(archive, members, f"{info}/METADATA"))
        targets = _targets(_text(archive, members, f"{info}/entry_points.txt", ""))
    if canonicalize_name(metadata["Name"] or "") != name:
        raise WheelRefused(f"{file_name} calls itself {metadata['Name']!r} inside", "build it again")
    if not targets:
        raise WheelRefused(
            f"{file_name} has no plug-in", f'name it in pyproject.toml: [project.entry-points."{GROUP}"]'
        )
    for top in sorted({PurePosixPath(member).parts[0].removesuffix(".py") for member in members}):
        if top in _OURS or top in sys.stdlib_module_names:
            raise WheelRefused(f"{file_name} holds a module {top!r}, which is not its own", "rename that package")
    _check_python(metadata["Requires-Python"], file_name)
    return WheelInfo(
        file_name=file_name,
        distribution=str(name),
        version=str(version),
        targets=targets,
        requires=tuple(metadata.get_all("Requires-Dist") or ()),
        sha256=sha256_of(data),
    )


def missing_requirements(
    requires: Iterable[str], installed: Callable[[str], str] = importlib.metadata.version
) -> list[str]:
    """Those that this environment does not meet, each with what is there instead; nothing is ever installed.

    Args:
        installed: name of a distribution -> its version; raises PackageNotFoundError.
    """
    missing = []
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            missing.append(f"{text!r} (cannot be read: {str(error).splitlines()[0]})")
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = installed(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"{requirement} (not installed)")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{requirement} ({version} is installed)")
    return missing


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of a wheel below a new folder.

    Raises:
        WheelRefused: it would write elsewhere, holds links, or is too large.
        FileExistsError: the folder is there.
    """
    folder.mkdir(parents=True)
    for name, content in contents(data):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def contents(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a wheel, with paths that were checked; sizes are counted, not believed.

    Raises:
        WheelRefused: as `unpack`.
    """
    with _opened(data, "the wheel") as archive:
        left = MAX_UNPACKED
        for member in _checked(archive):
            content = _read(archive, member, left + 1)
            left -= len(content)
            if left < 0:
                raise WheelRefused(
                    f"the wheel unpacks to more than {MAX_UNPACKED // 1024**2} MiB", "weights: sosie model add"
                )
            yield member.filename, content


def _opened(data: bytes, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise WheelRefused(f"{name} is not a wheel: {error}", "build it again") from error


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Its files, none of which leads out of the folder that it will be unpacked to."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_FILES:
        raise WheelRefused(f"the wheel has {len(members)} files; {MAX_FILES} are allowed", "leave data files out")
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = name.split("/")
        if not name or "\\" in name or "\0" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
            raise WheelRefused(f"the wheel holds the path {name!r}, which leads out of it", "build it again")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise WheelRefused(f"the wheel holds a link, {name!r}", "build it without links")
        if parts[0].endswith(".data"):
            raise WheelRefused(f"the wheel installs files beside its package ({parts[0]})", "keep all in the package")
        if name.casefold() in seen:
            raise WheelRefused(f"the wheel holds {name!r} twice", "build it again")
        seen.add(name.casefold())
    return members


def _info_folder(members: Iterable[str], file_name: str) -> str:
    found = {member.split("/")[0] for member in members if member.endswith(".dist-info/METADATA")}
    if len(found) != 1:
        raise WheelRefused(f"{file_name} has {len(found)} METADATA files; a wheel has one", "build it again")
    return found.pop()


def _text(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, default: str | None = None) -> str:
    member = members.get(name)
    if member is None and default is not None:
        return default
    if member is None or member.file_size > _MAX_METADATA:
        raise WheelRefused(f"the wheel's {name} is missing, or too long", "build it again")
    return _read(archive, member, _MAX_METADATA).decode(errors="replace")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(size)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        raise WheelRefused(f"{member.filename!r} in the wheel is damaged: {error}", "build it again") from error


class _Points(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        """Names keep their case."""
        return optionstr


def _targets(text: str) -> dict[str, str]:
    parser = _Points(delimiters=("=",), interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise WheelRefused(f"the wheel's entry points cannot be read: {error}", "build it again") from error
    return {name: value.partition("[")[0].strip() for name, value in parser.items(GROUP)} if GROUP in parser else {}


def _check_python(text: str | None, file_name: str) -> None:
    try:
        fits = SpecifierSet(text or "").contains(platform.python_version(), prereleases=True)
    except InvalidSpecifier as error:
        raise WheelRefused(f"{file_name} asks for a strange Python: {error}", "correct requires-python") from error
    if not fits:
        raise WheelRefused(f"{file_name} needs Python {text}; here is {platform.python_version()}", "correct it")
