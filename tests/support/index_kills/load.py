"""What the clients of a kill test send: images, posts and videos in planted groups of exact duplicates, edits, deletes.

Everything follows from a seed, so that any material can be sent again, byte for byte.

Scenes below `STEADY` are never edited or deleted: all their materials of a kind must share one content ID, for ever.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

import numpy as np
from index_items import TEXT, Vector, deletion, fingerprint, image, unit, video
from msgspec.structs import replace

from materials.records import AssignItem, Feature

DIM = 64
STEADY = 24
SCENES = 40
KEYPOINTS = 6
STEMS = [
    "harbour",
    "copper",
    "pelican",
    "lantern",
    "meadow",
    "thunder",
    "velvet",
    "orchard",
    "granite",
    "whisper",
    "falcon",
    "ember",
]
WORDS = [first + second for first in STEMS for second in STEMS]
"""Enough that twenty of them are not by chance another scene's, as twenty out of twelve are."""


class Scenes:
    """The contents that are posted again and again."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self._images = unit(chance.standard_normal((SCENES, DIM)))
        self._texts = unit(chance.standard_normal((SCENES, DIM)))
        self._frames = unit(chance.standard_normal((SCENES, 4, DIM)))
        self._keypoints = chance.integers(0, 256, (SCENES, KEYPOINTS, 52), dtype=np.uint8)

    def image(self, material_id: str, scene: int, revision: int = 0, policy: str = "feed") -> AssignItem:
        """A picture of the scene; volatile ones have local features too."""
        vector: Vector = self._images[scene]
        more = {} if scene < STEADY else {"image-local@1": Feature.of("keypoints", self._keypoints[scene])}
        return image(material_id, vector, policy, features=more, revision=revision)

    def video(self, material_id: str, scene: int) -> AssignItem:
        """Two seconds of the scene."""
        return video(material_id, self._frames[scene])

    def post(self, material_id: str, scene: int) -> AssignItem:
        """Its text over its picture."""
        words = " ".join(random.Random(scene).choices(WORDS, k=20))
        text = Feature.of("vector", self._texts[scene])
        part = self.image(f"{material_id}/0", scene)
        return AssignItem(
            material_id=material_id,
            kind="post",
            policy="feed",
            fingerprint=fingerprint(words.encode(), text.data, part.fingerprint),
            features={TEXT: text},
            text=words,
            parts=(part,),
        )


def stream(scenes: Scenes, client: int, seed: int) -> Iterator[list[AssignItem]]:
    """Batches of one client, without end. Its material ids are its own, their contents everybody's."""
    chance = random.Random(f"{seed}/{client}")
    mine: list[AssignItem] = []
    for number in count():
        yield [_steady(scenes, f"c{client}-{number}-{i}", chance) for i in range(chance.randint(1, 12))]
        fresh = [scenes.image(f"v{client}-{number}-{i}", chance.randrange(STEADY, SCENES)) for i in range(12)]
        mine += fresh
        yield fresh
        chance.shuffle(mine)
        gone, edited = mine[:9], mine[9:11]
        mine = mine[11:]
        yield [
            *(deletion(item.material_id, revision=item.revision) for item in gone),
            *(replace(scenes.image(item.material_id, STEADY, item.revision + 1)) for item in edited),
        ]


def _steady(scenes: Scenes, name: str, chance: random.Random) -> AssignItem:
    kind = chance.choices(["image", "post", "video", "video-dedup"], [6, 2, 1, 1])[0]
    scene = chance.randrange(STEADY)
    if kind == "post":
        return scenes.post(f"p{scene}-{name}", scene)
    if kind == "video":
        return scenes.video(f"w{scene}-{name}", scene)
    if kind == "video-dedup":
        return scenes.image(f"d{scene}-{name}", scene, policy="video-dedup")
    return scenes.image(f"i{scene}-{name}", scene)


def planted(item: AssignItem) -> tuple[str, int] | None:
    """The group of exact duplicates to which a material belongs: kind (by the letter of its id) and scene."""
    letter, number = item.material_id[0], item.material_id[1:].split("-", maxsplit=1)[0]
    return None if letter == "v" else (letter, int(number))
