"""Pictures of a pair: side by side with the keypoints that agree, or strips of video frames aligned in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import ImageMedia, VideoMedia
from pipeline.explain.frame_geometry import overlap
from vector_index.content.explanation import Judged

Rgb = NDArray[np.uint8]
HEIGHT, GAP, LABEL = 420, 24, 30
STRIP_FRAMES, STRIP_HEIGHT = 8, 120
_PAPER = (246, 246, 244)
_INK = (40, 40, 46)
_GREEN = (20, 150, 70)


def pair_picture(judged: Judged, query: ImageMedia | VideoMedia, reference: ImageMedia | VideoMedia) -> Rgb | None:
    """uint8 RGB [h, w, 3]: the older on the left (or above), the younger on the right; None for different kinds."""
    if isinstance(query, ImageMedia) and isinstance(reference, ImageMedia):
        return image_pair(judged, query.rgb, reference.rgb)
    if isinstance(query, VideoMedia) and isinstance(reference, VideoMedia):
        return video_strips(judged, query, reference)
    return None


def image_pair(judged: Judged, query: Rgb, reference: Rgb) -> Rgb:
    """Reference left, query right; lines join keypoints that agree, and the outline says where the reference lies."""
    left, right = _tall(reference), _tall(query)
    start = left.shape[1] + GAP
    canvas = np.full((LABEL + HEIGHT, start + right.shape[1], 3), _PAPER, np.uint8)
    canvas[LABEL:, : left.shape[1]] = left
    canvas[LABEL:, start:] = right
    _label(canvas, judged.reference, 0)
    _label(canvas, judged.query, start)
    points = judged.evidence.get("points") or []
    where = overlap(judged.evidence, _size(query), _size(reference)) if points else None
    if where is not None:
        corners = np.rint(where.outline * max(right.shape[:2]) + (start, LABEL)).astype(np.int32)
        right_side = canvas[:, start:].copy()
        cv2.polylines(right_side, [corners - np.array([start, 0], np.int32)], True, _GREEN, 2, cv2.LINE_AA)
        canvas[:, start:] = right_side
    _draw_lines(canvas, points, max(right.shape[:2]), max(left.shape[:2]), start)
    return canvas


def video_strips(judged: Judged, query: VideoMedia, reference: VideoMedia) -> Rgb:
    """Two strips, frame below frame at the times that the alignment says are the same."""
    segment = judged.evidence.get("segment")
    if segment:
        ours = np.linspace(segment[0], segment[1], STRIP_FRAMES + 1)[:-1]
        theirs = np.linspace(segment[2], segment[3], STRIP_FRAMES + 1)[:-1]
    else:
        ours, theirs = (np.linspace(clip.times[0], clip.times[-1], STRIP_FRAMES) for clip in (query, reference))
    above, below = _strip(reference, theirs), _strip(query, ours)
    width = max(above.shape[1], below.shape[1])
    canvas = np.full((2 * (LABEL + STRIP_HEIGHT) + GAP, width, 3), _PAPER, np.uint8)
    canvas[LABEL : LABEL + STRIP_HEIGHT, : above.shape[1]] = above
    second = LABEL + STRIP_HEIGHT + GAP
    canvas[second + LABEL : second + LABEL + STRIP_HEIGHT, : below.shape[1]] = below
    _label(canvas, f"{judged.reference}, from {theirs[0]:.1f} s", 0)
    _label(canvas[second:], f"{judged.query}, from {ours[0]:.1f} s", 0)
    return canvas


def stacked(pictures: Sequence[Rgb]) -> Rgb:
    """One below the other."""
    width = max(picture.shape[1] for picture in pictures)
    rows = []
    for picture in pictures:
        row = np.full((picture.shape[0] + GAP, width, 3), _PAPER, np.uint8)
        row[: picture.shape[0], : picture.shape[1]] = picture
        rows.append(row)
    return np.concatenate(rows)


def png(picture: Rgb) -> bytes:
    """Encoded."""
    _, encoded = cv2.imencode(".png", picture[:, :, ::-1])
    return bytes(encoded.tobytes())


def _size(picture: Rgb) -> tuple[float, float]:
    return float(picture.shape[1]), float(picture.shape[0])


def _tall(picture: Rgb) -> Rgb:
    width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
    return np.asarray(cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _strip(clip: VideoMedia, at: NDArray[np.float64]) -> Rgb:
    frames = []
    for second in at:
        frame = clip.frames[int(np.abs(np.asarray(clip.times) - second).argmin())]
        width = max(1, round(frame.shape[1] * STRIP_HEIGHT / frame.shape[0]))
        frames.append(cv2.resize(frame, (width, STRIP_HEIGHT), interpolation=cv2.INTER_AREA))
    return np.asarray(np.concatenate(frames, axis=1), np.uint8)


def _draw_lines(canvas: Rgb, points: Sequence[Sequence[float]], query: int, reference: int, start: int) -> None:
    for number, (qx, qy, rx, ry) in enumerate(points):
        colour: Any = _colour(number, len(points))
        left = round(rx * reference), LABEL + round(ry * reference)
        right = start + round(qx * query), LABEL + round(qy * query)
        cv2.line(canvas, left, right, colour, 1, cv2.LINE_AA)
        for place in (left, right):
            cv2.circle(canvas, place, 4, colour, 2, cv2.LINE_AA)


def _colour(number: int, count: int) -> tuple[int, ...]:
    hsv = np.array([[[round(number * 179 / max(1, count)), 220, 230]]], np.uint8)
    return tuple(int(c) for c in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])


def _label(canvas: Rgb, text: str, left: int) -> None:
    """Material ids are ASCII, which is all that OpenCV can write."""
    shown = "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in text)
    cv2.putText(canvas, shown, (left + 4, LABEL - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1, cv2.LINE_AA)
