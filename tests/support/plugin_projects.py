"""Projects and wheels of plug-ins, good and bad, as their authors would hand them in."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

_PROJECT = """\
[project]
name = "{name}"
version = "{version}.0"
requires-python = ">=3.11"
dependencies = {requires}
[project.entry-points."sosie.plugins"]
{name} = "{module}:Plugin"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""
_MODULE = '''\
"""Counts the letters of a text."""

import numpy as np

from materials.records import Feature
from model_plugins.protocol import Example, Manifest, TextMedia


class Plugin:
    manifest = Manifest(
        name="{manifest_name}", version={version}, media="text", schema="letters", summary="Letters of a text."
    )

    def prepare(self, media):
        text = media.text.strip()
        return {{"letters": np.array([[len(text)]], np.int32)}} if text else None

    def interpret(self, outputs):
        return Feature.of("letters", outputs["letters"][0])

    def examples(self):
        return [Example("four letters", TextMedia("four"))]
{more}
'''
ENTRY_POINTS = "[sosie.plugins]\nletters = letters:Plugin\n"


def project(
    folder: Path,
    name: str = "letters",
    version: int = 1,
    *,
    requires: tuple[str, ...] = (),
    manifest_name: str = "",
    more: str = "",
) -> Path:
    """A project folder that hatchling builds."""
    module = name.replace("-", "_")
    (folder / module).mkdir(parents=True, exist_ok=True)
    asked = "[" + ", ".join(f'"{each}"' for each in requires) + "]"
    text = _PROJECT.format(name=name, version=version, module=module, requires=asked)
    (folder / "pyproject.toml").write_text(text)
    code = _MODULE.format(manifest_name=manifest_name or name, version=version, more=more)
    (folder / module / "__init__.py").write_text(code)
    return folder


def wheel(
    files: dict[str, str] | None = None,
    *,
    entry_points: str = ENTRY_POINTS,
    metadata: str = "",
    links: tuple[str, ...] = (),
) -> bytes:
    """A hand-made wheel `letters-1.0-py3-none-any.whl`, with whatever paths are asked for."""
    content = {
        "letters/__init__.py": _MODULE.format(manifest_name="letters", version=1, more=""),
        "letters-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n{metadata}\n",
        "letters-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "letters-1.0.dist-info/entry_points.txt": entry_points,
    } | (files or {})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(zipfile.ZipInfo(name), text)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


WHEEL_NAME = "letters-1.0-py3-none-any.whl"
