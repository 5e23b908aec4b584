"""Each understanding plug-in against labelled media, through a real Triton and the platform's own runtime.

The light models are always measured. The heavy ones are measured where their extra is installed; a skip says how.
Thresholds lie a little below what was measured when they were set; the figures stand in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import understanding
from benchmarks.labelled import pictures, sounds, writing
from benchmarks.served import asking, model_server
from deploy.model_server.environment import ensure, installed_extras
from materials.errors import SosieError
from model_plugins.recipes.cached import default_cache

pytestmark = pytest.mark.stack

Measure = Callable[[str], dict[tuple[str, str], float]]


@pytest.fixture(scope="module")
def extras() -> tuple[str, ...]:
    return installed_extras()


@pytest.fixture(scope="module")
def measure(extras: tuple[str, ...]) -> Iterator[Measure]:
    if ensure().server != "triton":
        pytest.skip("tritonserver cannot run on this machine, and MLServer serves no extras")

    with model_server(extras) as address:

        def run(name: str) -> dict[tuple[str, str], float]:
            make, extra, measures = understanding.MEASURES[name]
            if extra and extra not in extras:
                pytest.skip(f"needs an extra: .venv/bin/python -m deploy.model_server.environment --extras {extra}")
            with asking(make(), address) as ask:
                return {(row.measure, row.source): row.value for row in measures(ask)}

        yield run


def values(rows: dict[tuple[str, str], float], measure: str) -> list[float]:
    return [value for (name, _), value in rows.items() if name == measure]


def test_tags(measure: Measure) -> None:
    rows = measure("image-tags")
    assert values(rows, "best tag right")[0] >= 0.8
    assert values(rows, "one of five right")[0] >= 0.9


def test_faces(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    every = list(pictures.patches())
    monkeypatch.setattr(pictures, "patches", lambda: every[::10])  # seconds count here
    rows = measure("image-faces")
    assert values(rows, "recall")[0] >= 0.8
    assert values(rows, "precision")[0] >= 0.95
    assert values(rows, "faces found")[0] >= 0.9
    assert values(rows, "others passed over")[0] == 1


def test_text_in_pictures(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    typeset = writing.typeset
    monkeypatch.setattr(writing, "typeset", lambda: islice(typeset(), 12, 28))
    rows = measure("image-ocr")
    assert len(values(rows, "characters right")) == 2
    assert min(values(rows, "characters right")) >= 0.95
    assert values(rows, "words found")[0] >= 0.9


def test_speech(measure: Measure) -> None:
    rows = measure("video-speech")
    read, cards = values(rows, "words right")
    assert read >= 0.9
    assert cards >= 0.7
    assert values(rows, "nothing said, nothing heard")[0] >= 0.85


def test_sound_events(measure: Measure) -> None:
    rows = measure("video-sound-events")
    assert values(rows, "speech told")[0] >= 0.9
    assert values(rows, "music told")[0] >= 0.9
    assert values(rows, "neither told")[0] == 1


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model file that is none: the error names the model server's own words."""
    cache = tmp_path / "models"
    for name in ("image-embedding", "image-tags", "faces"):
        (cache / name / "1").mkdir(parents=True)
        (cache / name / "1" / "model.onnx").write_bytes(b"no model")
    assert default_cache() != cache
    monkeypatch.setenv("SOSIE_CACHE", str(tmp_path))
    with pytest.raises(SosieError, match="is not ready"), model_server(timeout=20):
        pass


def test_labels_and_media_are_all_there() -> None:
    assert sum(len(picture.faces) for picture in pictures.peopled()) == 37
    assert len(list(pictures.tagged())) == 33
    assert len(list(writing.photographs())) == 7
    assert {len(set(each.classes)) > 0 for each in pictures.tagged()} == {True}
    assert all(0 < x < 1 and 0 < y < 1 for picture in pictures.peopled() for x, y in picture.faces)
    assert [each.kind for each in sounds.neither()] == ["nothing"] * 3
