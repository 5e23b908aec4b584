"""Every registered plug-in passes the suite that plug-in authors use."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

import pytest

from model_plugins.conformance import PluginConformance
from model_plugins.registry import available, load

ROOT = Path(__file__).parents[3]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["sosie.plugins"]


SERVED = {"image-tags", "image-faces", "image-ocr", "video-speech", "video-sound-events"}
"""Tested in test_served_plugins_conform.py."""
HERE = [name for name in DECLARED if name not in SERVED]
PROMISES = [name for name in dir(PluginConformance) if name.startswith("test_")]


@functools.cache
def suite_of(name: str) -> type[PluginConformance]:
    plugin = load([name])[name]
    return type("Suite", (PluginConformance,), {"plugin": plugin})


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("name", HERE)
def test_every_plugin_conforms(name: str, promise: str) -> None:
    getattr(suite_of(name)(), promise)()


def test_what_pyproject_declares_is_what_can_be_loaded() -> None:
    assert {manifest.name for manifest in available()} == set(DECLARED)
    for name, path in DECLARED.items():
        assert load([name])[name].manifest.name == name
        assert load([path])[name].manifest == load([name])[name].manifest
