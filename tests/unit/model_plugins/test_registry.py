"""Finding plug-ins by name and by path, and saying what is wrong when that fails."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from materials.errors import UsageError
from materials.records import Feature
from model_plugins import registry
from model_plugins.builtin.image_embedding import ImageEmbedding
from model_plugins.protocol import Example, Manifest, Tensors, TextMedia
from model_plugins.registry import installed


class Shouting:
    """A plug-in that is found by its path."""

    manifest = Manifest(name="shouting", version=2, media="text", schema="text")

    def prepare(self, media: TextMedia) -> None:
        return None

    def interpret(self, outputs: Tensors) -> Feature:
        raise AssertionError("prepare never gives anything")

    def examples(self) -> list[Example]:
        return []


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no weights")


HERE = f"{__name__}:Shouting"
GROUP = registry.GROUP
IMAGE = EntryPoint("image-embedding", "model_plugins.builtin.image_embedding:ImageEmbedding", GROUP)


def given(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    """Other distributions than those that are installed."""
    monkeypatch.setattr(installed, "entry_points", lambda group: EntryPoints(points).select(group=group))


def test_names_and_paths_load_in_order() -> None:
    plugins = registry.load([HERE, "image-embedding"])
    assert list(plugins) == ["shouting", "image-embedding"]
    assert isinstance(plugins["image-embedding"], ImageEmbedding)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown plug-in 'image-embeding'") as caught:
        registry.load(["image-embeding"])
    assert "image-embedding" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        registry.load(["qqq"])
    assert "known: " in caught.value.remedy
    assert "video-embedding" in caught.value.remedy


def test_a_name_asked_for_twice() -> None:
    with pytest.raises(UsageError, match="'shouting' is there twice"):
        registry.load([HERE, HERE])


def test_a_name_that_two_distributions_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, IMAGE, EntryPoint("image-embedding", HERE, GROUP))
    with pytest.raises(UsageError, match="two plug-ins are called 'image-embedding'"):
        registry.load(["image-embedding"])


def test_an_entry_point_and_its_manifest_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, EntryPoint("whispering", HERE, GROUP))
    with pytest.raises(UsageError, match="calls itself 'shouting'"):
        registry.load(["whispering"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module:Thing", "No module named 'no_such_module'"),
        (f"{__name__}:Nothing", "Nothing"),
        (f"{__name__}:Broken", "no weights"),
        ("collections:OrderedDict", "is not a plug-in"),
    ],
)
def test_what_cannot_be_loaded_says_why(path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.load([path])


def test_available_lists_what_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, IMAGE, EntryPoint("bad", f"{__name__}:Broken", GROUP), EntryPoint("shouting", HERE, GROUP))
    assert [manifest.key for manifest in registry.available()] == ["image-embedding@1", "shouting@2"]
