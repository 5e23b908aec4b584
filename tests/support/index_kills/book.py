"""What was acknowledged, and whether the index still says so."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence

import msgspec
from index_items import IMAGE, TEXT, VIDEO
from index_kills.load import Scenes, planted
from msgspec.structs import replace

from materials.records import AssignItem, Assignment
from vector_index.client import IndexClient

PAGE = 500
REPLAYED_BATCH = 64
LOCAL = "image-local@1"


class Verdict(msgspec.Struct):
    """Counts over checks. `lost`: acknowledged and unknown now; `changed`: answered otherwise now; `two_ids`: planted
    duplicates under more than one content ID; `unfound`: stored, and not found by search or missing in a space."""

    checked: int = 0
    lost: int = 0
    changed: int = 0
    two_ids: int = 0
    unfound: int = 0
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing was lost or altered."""
        return not (self.lost or self.changed or self.two_ids or self.unfound)

    def add(self, other: Verdict) -> None:
        """Sum up."""
        self.checked += other.checked
        self.lost += other.lost
        self.changed += other.changed
        self.two_ids += other.two_ids
        self.unfound += other.unfound
        self.notes += other.notes

    def note(self, line: str) -> None:
        """Keep the first few examples."""
        if len(self.notes) < 10:
            self.notes.append(line)


class Book:
    """Acknowledged assignments with what was sent; filled by many threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._entries: list[tuple[AssignItem, Assignment]] = []
        self._seen = 0

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, items: Sequence[AssignItem], answers: Sequence[Assignment]) -> None:
        """The service has answered."""
        with self.changed:
            self._entries += zip(items, answers, strict=True)
            self.changed.notify_all()

    def check(self, client: IndexClient, chance: random.Random, *, everything: bool = False) -> Verdict:
        """Ask the index again. Nobody may write meanwhile.

        Args:
            everything: replay all that was ever acknowledged, not only what is new since the last check and a sample.
        """
        verdict = Verdict()
        entries = list(self._entries)
        fresh = entries[self._seen :]
        self._seen = len(entries)
        old = entries[: len(entries) - len(fresh)]
        replayed = entries if everything else fresh + chance.sample(old, min(len(old), 100))
        _check_stored(client, entries, verdict)
        _check_replays(client, replayed, verdict)
        _check_groups(entries, verdict)
        _check_spaces(client, entries, verdict)
        return verdict

    def check_search(self, client: IndexClient, scenes: Scenes, chance: random.Random, count: int) -> Verdict:
        """Search finds the stored copies of planted pictures, with their content ID."""
        verdict = Verdict()
        ids = {group[1]: answer.content_id for item, answer in self._entries if (group := _image_group(item))}
        for scene in chance.sample(sorted(ids), min(count, len(ids))):
            found = client.search(scenes.image("probe", scene), k=5)
            verdict.checked += 1
            if not found or found[0].content_id != ids[scene]:
                verdict.unfound += 1
                verdict.note(f"search for scene {scene} finds {found[:1]}, not {ids[scene]}")
        return verdict


def _image_group(item: AssignItem) -> tuple[str, int] | None:
    group = planted(item)
    return group if group is not None and group[0] == "i" else None


def _latest(entries: Sequence[tuple[AssignItem, Assignment]]) -> dict[tuple[str, str], tuple[AssignItem, Assignment]]:
    """(policy, material id) -> what holds now; each id is written by one client, so the last is the latest."""
    return {(item.policy, item.material_id): (item, answer) for item, answer in entries}


def _check_stored(client: IndexClient, entries: Sequence[tuple[AssignItem, Assignment]], verdict: Verdict) -> None:
    latest = _latest(entries)
    for policy in sorted({policy for policy, _ in latest}):
        ids = [material_id for held, material_id in latest if held == policy]
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            for material_id, stored in zip(page, client.get(page, policy), strict=True):
                verdict.checked += 1
                _, answer = latest[policy, material_id]
                if stored is None:
                    verdict.lost += 1
                    verdict.note(f"lost: {answer}")
                elif stored != replace(answer, replayed=False):
                    verdict.changed += 1
                    verdict.note(f"changed: {answer} is now {stored}")


def _check_replays(client: IndexClient, entries: Sequence[tuple[AssignItem, Assignment]], verdict: Verdict) -> None:
    for start in range(0, len(entries), REPLAYED_BATCH):
        batch = entries[start : start + REPLAYED_BATCH]
        answers = client.assign([item for item, _ in batch])
        for (_, answer), again in zip(batch, answers, strict=True):
            verdict.checked += 1
            if not again.replayed:
                verdict.lost += 1
                verdict.note(f"decided anew: {answer} is now {again}")
            elif again != replace(answer, replayed=True):
                verdict.changed += 1
                verdict.note(f"changed on replay: {answer} is now {again}")


def _check_groups(entries: Sequence[tuple[AssignItem, Assignment]], verdict: Verdict) -> None:
    ids: dict[tuple[str, int], set[str]] = {}
    for item, answer in entries:
        group = planted(item)
        if group is not None:
            ids.setdefault(group, set()).add(answer.content_id)
            for part in answer.parts:
                ids.setdefault(("i", group[1]), set()).add(part.content_id)
    verdict.checked += len(ids)
    for group, found in ids.items():
        if len(found) != 1:
            verdict.two_ids += 1
            verdict.note(f"two content IDs: {group} has {sorted(found)}")
    minted = Counter(content_id for found in ids.values() for content_id in found)
    for content_id, groups in minted.items():
        if groups > 1:
            verdict.changed += 1
            sharing = sorted(group for group, found in ids.items() if content_id in found)
            verdict.note(f"one content ID for {groups} contents: {content_id} {sharing}")


def _live(entries: Sequence[tuple[AssignItem, Assignment]]) -> tuple[int, Counter[str]]:
    """Live materials, parts included, and rows by space."""
    spaces: Counter[str] = Counter()
    materials = 0
    for item, _ in _latest(entries).values():
        everything = () if item.op == "delete" else (item, *item.parts)
        materials += len(everything)
        for one in everything:
            spaces.update(key for key in (IMAGE, VIDEO, TEXT, LOCAL) if key in one.features)
    return materials, spaces


def _check_spaces(client: IndexClient, entries: Sequence[tuple[AssignItem, Assignment]], verdict: Verdict) -> None:
    """Every space holds each live material once, no dead one."""
    materials, wanted = _live(entries)
    stats = client.stats()
    held = {key: rows for key, rows in stats["spaces"].items() if rows}
    verdict.checked += 1
    if held != dict(wanted) or stats["materials"] != materials:
        verdict.unfound += 1
        verdict.note(f"{stats['materials']} materials in spaces {held}, not {materials} in {dict(wanted)}")
