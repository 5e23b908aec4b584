"""Posts: same and other text over same and other media. Which of them get one content ID?

    python -m benchmarks.posts IMAGES TEXTS [--bases 60] [--policy feed] [--cache DIR]

IMAGES and TEXTS are benchmark folders (one may be both). From each base (a text over one to three pictures) five posts
are planted: itself; a copy, whose text and pictures are all attacked, in another order; another text over the same
pictures; the copied text over other pictures; and the pictures alone beside a remark. Only the first two are the same
post. Pictures are copied by one attack each, texts by up to three. The posts arrive in random order at an engine in
this process. Judged are pairs of posts that share a content ID. The last line is one JSON object.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import hashlib
import json
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench_sets import BenchSet, Item, load
from materials.records import AssignItem
from vector_index.engine import Engine
from vector_index.ranking.registry import default_rankers

REMARK = "哈哈"
MOST_MEDIA = 3
LONG = 24
"""Characters from which a text stands for itself."""


class Post(NamedTuple):
    """A planted post; posts of one `content` are the same."""

    name: str
    content: str
    how: str
    text: Item | None
    media: tuple[Item, ...]


def copies(given: BenchSet, most_attacks: int) -> dict[str, list[Item]]:
    """Reference -> its copies by few attacks."""
    found: dict[str, list[Item]] = {}
    for one in given.queries:
        if len(given.attacks[one.name]) <= most_attacks and one.features:
            found.setdefault(one.content, []).append(one)
    return found


def plant(images: BenchSet, texts: BenchSet, bases: int, rng: random.Random) -> list[Post]:
    """Five posts for each base.

    Raises:
        ValueError: the folders hold too few pictures or texts with copies.
    """
    image_copies, text_copies = copies(images, 1), copies(texts, 3)
    pictures = [one for one in images.references if one.features]
    copied = [one for one in pictures if one.name in image_copies]
    said = [one for one in texts.references if one.name in text_copies and len(one.text) >= LONG]
    rng.shuffle(copied)
    rng.shuffle(said)
    others = [p for p in pictures if p.name not in image_copies]
    posts: list[Post] = []
    for base in range(bases):
        count = 1 + base % MOST_MEDIA
        if len(copied) < count or len(said) < 2:
            raise ValueError(f"copies suffice for {base} bases only")
        media = tuple(copied.pop() for _ in range(count))
        text, another = said.pop(), said.pop()
        text_copy = rng.choice(text_copies[text.name])
        media_copy = tuple(rng.choice(image_copies[p.name]) for p in reversed(media))
        elsewhere = tuple(rng.sample(others, count))
        planted = (
            ("itself", "same", text, media),
            ("copy", "same", text_copy, media_copy),
            ("other text", "other-text", another, media),
            ("other media", "other-media", text_copy, elsewhere),
            ("a remark", "remark", Item("remark", "remark", REMARK), media),
        )
        posts += [Post(f"P{base}-{n}", f"{base}-{c}", how, t, m) for n, (how, c, t, m) in enumerate(planted)]
    rng.shuffle(posts)
    return posts


def as_post(post: Post, policy: str) -> AssignItem:
    """As the index takes it."""
    parts = tuple(
        AssignItem(
            material_id=f"{post.name}/{n}",
            kind="image",
            policy=policy,
            fingerprint=_print(one.name),
            features=one.features,
        )
        for n, one in enumerate(post.media)
    )
    return AssignItem(
        material_id=post.name,
        kind="post",
        policy=policy,
        fingerprint=_print(post.name),
        features=post.text.features if post.text else {},
        text=post.text.text if post.text else "",
        parts=parts,
    )


def _print(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


class PairCount(NamedTuple):
    """Pairs of posts: found and the same, found and not, missed."""

    right: int
    wrong: int
    missed: int

    @property
    def f1(self) -> float:
        """1 where there is nothing to find."""
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


def count_pairs(posts: Sequence[Post], found: Mapping[str, str]) -> tuple[PairCount, Counter[str]]:
    """Over all pairs of posts; and the wrong and missed ones by how the two were made."""
    right = wrong = missed = 0
    faults: Counter[str] = Counter()
    for one, other in combinations(posts, 2):
        same, joined = one.content == other.content, found[one.name] == found[other.name]
        right += same and joined
        wrong += joined and not same
        missed += same and not joined
        if same != joined:
            faults[f"{'missed' if same else 'wrong'}: " + " / ".join(sorted((one.how, other.how)))] += 1
    return PairCount(right, wrong, missed), faults


def decide(posts: Sequence[Post], policy: str) -> dict[str, str]:
    """Post -> content ID."""
    with tempfile.TemporaryDirectory(prefix="sosie-posts-") as folder:
        engine = Engine(Path(folder), default_rankers(), clock=lambda: 0.0)
        try:
            found: dict[str, str] = {}
            for start in range(0, len(posts), 16):
                for answer in engine.assign([as_post(one, policy) for one in posts[start : start + 16]]):
                    found[answer.material_id] = answer.content_id
            return found
        finally:
            engine.close(take_snapshot=False)


def main() -> None:
    """Plant, decide, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--bases", type=int, default=60)
    parser.add_argument("--policy", default="feed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sosie-bench-features")
    options = parser.parse_args()
    images = load(options.images.resolve(), "image", options.cache)
    texts = load(options.texts.resolve(), "text", options.cache)
    if images is None or texts is None:
        parser.error("the folders lack images or texts")
    posts = plant(images, texts, options.bases, random.Random(options.seed))
    counted, faults = count_pairs(posts, decide(posts, options.policy))
    said = {"policy": options.policy, "posts": len(posts), **counted._asdict(), "pair_f1": round(counted.f1, 4)}
    print(json.dumps({**said, "faults": dict(faults.most_common())}, ensure_ascii=False))


if __name__ == "__main__":
    main()
