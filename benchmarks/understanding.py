"""Accuracy of the understanding plug-ins whose models are served, on real labelled media.

    python benchmarks/understanding.py [--models ocr,speech,audio-events] [--json]

Prints a row a measure: plug-in, what was measured on what, n, the value and seconds a medium on this machine. Without
`--models` it measures those whose models are light, and the extras that are installed already.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.labelled import pictures, sounds, writing
from benchmarks.served import Ask, asking, model_server
from deploy.model_server.catalogue import parse_extras
from deploy.model_server.environment import installed_extras
from model_plugins.builtin.image_faces import ImageFaces
from model_plugins.builtin.image_ocr import ImageOcr
from model_plugins.builtin.image_tags import ImageTags
from model_plugins.builtin.sample_sound import clip
from model_plugins.builtin.video_sound_events import VideoSoundEvents
from model_plugins.builtin.video_speech import VideoSpeech
from model_plugins.features import json_feature
from model_plugins.protocol import SOUND_RATE, ImageMedia, Media, Plugin

_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_SAID = {str(number): word for number, word in enumerate(_DIGITS)} | {"mr": "mister"}


class Row(msgspec.Struct, frozen=True):
    """One measure. `n`: labelled things; `value`: a share, 0..1."""

    plugin: str
    measure: str
    source: str
    n: int
    value: float
    seconds: float = 0.0


class _Timed:
    """Counts the seconds of the calls that pass through."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.calls = 0
        self._spent = 0.0

    def __call__(self, media: Media) -> NDArray[np.generic] | object:
        """The feature's value: an array, or what its JSON says; None without a feature."""
        began = time.perf_counter()
        feature = self._ask(media)
        self._spent += time.perf_counter() - began
        self.calls += 1
        if feature is None:
            return None
        return feature.array() if feature.schema == "faces" else json_feature.unpack(feature)

    @property
    def mean(self) -> float:
        return round(self._spent / max(1, self.calls), 3)


def still(rgb: NDArray[np.uint8]) -> ImageMedia:
    """A picture as the decoder would give it."""
    return ImageMedia(rgb, rgb.shape[1], rgb.shape[0])


def measure_tags(ask: Ask) -> list[Row]:
    """Share of pictures whose best tag, and one of whose five, names what they show."""
    timed = _Timed(ask)
    first, five = [], []
    for picture in pictures.tagged():
        found = [each["class"] for each in timed(still(picture.rgb))]
        first.append(bool(found) and found[0] in picture.classes)
        five.append(bool(picture.classes & set(found)))
    source = "foolbox's 20 ImageNet pictures, 13 photos labelled by eye"
    return [
        Row("image-tags", "best tag right", source, len(first), _share(first), timed.mean),
        Row("image-tags", "one of five right", source, len(five), _share(five), timed.mean),
    ]


def measure_faces(ask: Ask) -> list[Row]:
    """Recall and precision of boxes (right: holds a labelled point that no better box holds), and on LFW patches."""
    timed = _Timed(ask)
    labels = found = right = 0
    for picture in pictures.peopled():
        boxes = timed(still(picture.rgb))
        left = list(picture.faces)
        labels, found = labels + len(left), found + len(boxes)
        for x0, y0, x1, y1 in boxes[:, :4].tolist():
            inside = [point for point in left if x0 <= point[0] <= x1 and y0 <= point[1] <= y1]
            if inside:
                middle = ((x0 + x1) / 2, (y0 + y1) / 2)
                left.remove(min(inside, key=lambda p: (p[0] - middle[0]) ** 2 + (p[1] - middle[1]) ** 2))
                right += 1
    seen = [(bool(len(timed(still(rgb)))), is_face) for rgb, is_face in pictures.patches()]
    photos = "16 photos out of packages, labelled by eye"
    lfw = "scikit-image's subset of LFW"
    faces = [hit for hit, is_face in seen if is_face]
    others = [not hit for hit, is_face in seen if not is_face]
    return [
        Row("image-faces", "recall", photos, labels, right / labels, timed.mean),
        Row("image-faces", "precision", photos, found, right / found, timed.mean),
        Row("image-faces", "faces found", lfw, len(faces), _share(faces), timed.mean),
        Row("image-faces", "others passed over", lfw, len(others), _share(others), timed.mean),
    ]


def measure_ocr(ask: Ask) -> list[Row]:
    """Share of characters read (1 - edit distance / length) of typeset lines; share of words found in photographs."""
    timed = _Timed(ask)
    typeset: dict[str, list[tuple[int, int]]] = {"zh": [], "en": []}
    for each in writing.typeset():
        read = [line["text"] for line in timed(still(each.rgb))["lines"]]
        wanted = _letters(each.text)
        # other writing on the photograph behind the line is no mistake
        errors = min([edit_distance(wanted, _letters(line)) for line in [*read, "".join(read)]], default=len(wanted))
        typeset[each.language].append((min(errors, len(wanted)), len(wanted)))
    words = hits = 0
    for each in writing.photographs():
        heap = _words(timed(still(each.rgb))["text"])
        for word in _words(each.text):
            words += 1
            if word in heap:
                heap.remove(word)
                hits += 1
    rows = []
    for language, counts in typeset.items():
        length = sum(total for _, total in counts)
        source = f"{len(counts)} lines set in a real font on photos ({language})"
        value = 1 - sum(errors for errors, _ in counts) / length
        rows.append(Row("image-ocr", "characters right", source, length, value, timed.mean))
    rows.append(Row("image-ocr", "words found", "7 photos and graphics, read by eye", words, hits / words, timed.mean))
    return rows


def measure_speech(ask: Ask) -> list[Row]:
    """Share of words right (1 - word error rate), and how often nothing is heard where nothing is said."""
    timed = _Timed(ask)
    rows = []
    for folder, source in (
        ("librivox", "5 sentences of a LibriVox reading"),
        ("cards", "5 takes of cards being named"),
    ):
        errors = total = 0
        for each in sounds.spoken():
            if each.title.startswith(folder):
                answer = timed(clip(each.sound, len(each.sound) / SOUND_RATE))
                errors += edit_distance(each.text.split(), spoken_words(answer["text"] if answer else ""))
                total += len(each.text.split())
        rows.append(Row("video-speech", "words right", source, total, 1 - errors / total, timed.mean))
    silent = [*sounds.music(pieces=2), *sounds.neither()]
    quiet = []
    for each in silent:
        answer = timed(clip(each.sound, len(each.sound) / SOUND_RATE))
        quiet.append(answer is None or not answer["segments"])
    rows.append(
        Row("video-speech", "nothing said, nothing heard", "music and noise", len(quiet), _share(quiet), timed.mean)
    )
    return rows


def measure_sound_events(ask: Ask) -> list[Row]:
    """Share of clips whose loudest kind (the one with the largest share, none below 20 %) is the labelled one."""
    timed = _Timed(ask)
    rows = []
    for title, heard in (
        ("speech told", sounds.spoken()),
        ("music told", sounds.music()),
        ("neither told", sounds.neither()),
    ):
        right = [kind_of(timed(clip(each.sound, len(each.sound) / SOUND_RATE))) == each.kind for each in heard]
        source = {"speech told": "LibriVox and cards", "music told": "pieces of two tracks"}.get(title, "noise")
        rows.append(Row("video-sound-events", title, source, len(right), _share(right), timed.mean))
    return rows


def kind_of(answer: object) -> str:
    """The feature's JSON -> its main kind; `nothing` where no kind is heard for a fifth of the time."""
    shares: dict[str, float] = answer["shares"] if isinstance(answer, dict) else {}
    best = max(shares, key=lambda kind: shares[kind], default="")
    return best if best and shares[best] >= 0.2 else "nothing"


def edit_distance(one: Iterable[str], other: Iterable[str]) -> int:
    """Levenshtein's, of characters or words."""
    other = list(other)
    row = list(range(len(other) + 1))
    for number, left in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, right in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (left != right))
    return row[-1]


def spoken_words(text: str) -> list[str]:
    """Small letters without marks, as transcripts are written; figures and titles as they are said."""
    return [_SAID.get(word, word) for word in re.findall(r"[a-z']+|\d+", text.lower().replace("-", " "))]


def _letters(text: str) -> str:
    """Without spaces, and with half-width marks: those are matters of taste."""
    return re.sub(r"\s", "", text).translate(str.maketrans("，：！？（）", ",:!?()"))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _share(right: Collection[bool]) -> float:
    return sum(right) / len(right)


MEASURES: dict[str, tuple[Callable[[], Plugin], str, Callable[[Ask], list[Row]]]] = {
    "image-tags": (ImageTags, "", measure_tags),
    "image-faces": (ImageFaces, "", measure_faces),
    "image-ocr": (ImageOcr, "ocr", measure_ocr),
    "video-speech": (VideoSpeech, "speech", measure_speech),
    "video-sound-events": (VideoSoundEvents, "audio-events", measure_sound_events),
}
"""Plug-in name -> how it is made, the extra that it needs, its measures."""


def main() -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks/understanding.py", description=__doc__)
    parser.add_argument("--models", default="", help="extras to install and measure, e.g. ocr,speech; or all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    extras = tuple(sorted({*parse_extras(options.models), *installed_extras()}))
    rows: list[Row] = []
    with model_server(extras) as address:
        for make, extra, measure in MEASURES.values():
            if not extra or extra in extras:
                with asking(make(), address) as ask:
                    rows += measure(ask)
    if options.json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return 0
    for row in rows:
        sys.stdout.write(
            f"{row.plugin:<20} {row.measure:<28} {row.value:6.1%}  n={row.n:<5} {row.seconds:6.3f} s  {row.source}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
