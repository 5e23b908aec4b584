"""The plug-in that the README shows is one: by dotted path in a job, and in the suite for authors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from readme import examples

from model_plugins.conformance import PluginConformance
from model_plugins.protocol import ImageMedia
from model_plugins.registry import load

PROMISES = [name for name in dir(PluginConformance) if name.startswith("test_")]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    tmp_path = tmp_path_factory.mktemp("readme")
    language, code = examples()["plugin"]
    assert language == "python"
    (tmp_path / "readme_colours.py").write_text(code, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        [made] = load(["readme_colours:MeanColour"]).values()
        yield made
    del sys.modules["readme_colours"]


@pytest.mark.parametrize("promise", PROMISES)
def test_it_keeps_every_promise(plugin: Any, promise: str) -> None:
    suite = type("Suite", (PluginConformance,), {"plugin": plugin})()
    getattr(suite, promise)()


def test_it_computes_what_it_says(plugin: Any) -> None:
    halves = np.zeros((4, 6, 3), np.uint8)
    halves[:2, :, 0] = 200
    feature = plugin.interpret(plugin.prepare(ImageMedia(halves, 6, 4)))
    np.testing.assert_allclose(feature.array(), [100, 0, 0])
