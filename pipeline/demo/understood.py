"""What the demo's plug-ins understood of each material, in a line for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from materials.records import Feature, Features
from model_plugins.features import json_feature
from pipeline.feature_reader import FeatureReader

PLUGINS: Final = (
    "image-tags",
    "image-faces",
    "image-smart-crop",
    "video-tags",
    "text-words",
    "text-language",
    "text-timeliness",
    "text-category",
)
"""Of the demo's job, beside those that decide on content IDs."""


def understood(redis: str, material_ids: Iterable[str]) -> dict[str, str]:
    """Material id -> what is said of it; those of which nothing is are left out.

    Raises:
        Retryable: Redis does not answer.
    """
    with FeatureReader(redis) as reader:
        found = reader.get(material_ids)
    told = {material_id: line(features) for material_id, features in found.items()}
    return {material_id: text for material_id, text in told.items() if text}


def line(features: Features) -> str:
    """Phrases joined by dots; empty where nothing is known."""
    by_name = {key.partition("@")[0]: feature for key, feature in features.items()}
    phrases = [phrase(by_name[name]) for name, phrase in _PHRASES.items() if name in by_name]
    return " · ".join(each for each in phrases if each)


def _tags(feature: Feature) -> str:
    return ", ".join(f"{tag['tag']} {tag['score']:.0%}" for tag in json_feature.unpack(feature)[:2])


def _faces(feature: Feature) -> str:
    count = len(feature.array())
    return f"{count} face{'s' if count > 1 else ''}" if count else ""


def _of(key: str) -> Callable[[Feature], str]:
    def phrase(feature: Feature) -> str:
        value: Mapping[str, Any] = json_feature.unpack(feature)
        return str(value[key])

    return phrase


def _words(feature: Feature) -> str:
    keywords = json_feature.unpack(feature)["keywords"][:4]
    return "words " + ", ".join(each["word"] for each in keywords) if keywords else ""


_PHRASES: Final[dict[str, Callable[[Feature], str]]] = {
    "image-tags": _tags,
    "video-tags": _tags,
    "image-faces": _faces,
    "text-language": _of("language"),
    "text-category": _of("category"),
    "text-timeliness": _of("timeliness"),
    "text-words": _words,
}
