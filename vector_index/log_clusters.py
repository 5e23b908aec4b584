"""The log's tables of content IDs: members, centres, redirects, and posts by the media they share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from materials.errors import Permanent
from materials.records import Kind
from vector_index.buffered_writes import BufferedConnection
from vector_index.clusters import mint
from vector_index.log_events import Event, EventTables

MAX_ORDINAL = 256
NAMES_AT_ONCE = 10_000
"""Values of one query; SQLite takes 32,766."""
CENTRES_KEPT = 100_000
"""Content IDs whose centre is kept in memory (about 150 bytes each)."""


class ContentIdRow(msgspec.Struct, frozen=True):
    """A content ID as it is stored. `born`: of two IDs the older has the smaller one."""

    content_id: str
    policy: str
    kind: Kind
    founder: str
    revision: int
    ordinal: int
    centre: int | None
    created: float
    redirect_to: str | None
    born: int
    split_from: str | None


class Member(msgspec.Struct, frozen=True):
    """A stored member of a cluster."""

    row: int
    material_id: str
    exemplar: bool


class MembersPage(msgspec.Struct, frozen=True):
    """Some members of a content ID. `content_id`: the canonical one, None when it was never minted. `next`: the row
    after which the next page begins, 0 on the last one. `total`: members in all."""

    content_id: str | None
    material_ids: list[str]
    next: int
    total: int


class ClusterTables:
    """Reads and writes inside the transaction that the log has open."""

    def __init__(self, connection: BufferedConnection, events: EventTables) -> None:
        self._db = connection
        self._events = events
        self._centres: dict[str, int] = {}
        self._born = 0
        self.forget()

    def forget(self) -> None:
        """Nothing that was read is trusted any longer: a transaction was rolled back."""
        self._centres.clear()
        self._born = self._db.execute("SELECT max(born) FROM content_ids").fetchone()[0] or 0

    def found(
        self,
        policy: str,
        kind: Kind,
        material_id: str,
        revision: int,
        row: int,
        created: float,
        exemplar: bool = True,
    ) -> str:
        """Mint a content ID whose centre and only member is `row`. A digest that is taken counts the ordinal up."""
        content_id = self._mint(policy, kind, material_id, revision, row, created, None, 0)
        self._db.execute("INSERT INTO members VALUES (?, ?, ?, ?)", (row, policy, content_id, exemplar))
        return content_id

    def found_first(
        self,
        policy: str,
        kind: Kind,
        material_id: str,
        revision: int,
        row: int,
        created: float,
        exemplar: bool = True,
    ) -> str:
        """As `found`, for a material id about which nothing was ever decided: its digest cannot be taken."""
        content_id = mint(policy, material_id, revision, 0)
        self._born += 1
        self._db.later(
            "INSERT INTO content_ids VALUES (?, ?, ?, ?, ?, 0, ?, ?, NULL, ?, NULL)",
            (content_id, policy, kind, material_id, revision, row, created, self._born),
        )
        self._db.later("INSERT INTO members VALUES (?, ?, ?, ?)", (row, policy, content_id, exemplar))
        self._centres[content_id] = row
        return content_id

    def split(self, content_id: str, founder: Member, revision: int, others: Sequence[Member], created: float) -> str:
        """Move members of a canonical content ID into one of their own, whose centre is `founder`; the new ID.

        The founder's revision and an ordinal from 1 up mint it, so that it differs from what the founder once founded.
        """
        whole = self.row(content_id)
        new = self._mint(whole.policy, whole.kind, founder.material_id, revision, founder.row, created, content_id, 1)
        moved = [founder, *others]
        self._db.executemany(
            "UPDATE members SET content_id=?, exemplar=? WHERE row=? AND policy=?",
            [(new, member is founder, member.row, whole.policy) for member in moved],
        )
        if whole.centre in {member.row for member in moved}:
            self._hand_over(content_id, whole.policy)
        self._centres.pop(content_id, None)
        return new

    def _mint(
        self,
        policy: str,
        kind: Kind,
        material_id: str,
        revision: int,
        row: int,
        created: float,
        split_from: str | None,
        first: int,
    ) -> str:
        for ordinal in range(first, first + MAX_ORDINAL):
            content_id = mint(policy, material_id, revision, ordinal)
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO content_ids VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)",
                (content_id, policy, kind, material_id, revision, ordinal, row, created, self._born + 1, split_from),
            )
            if cursor.rowcount:
                self._born += 1
                self._centres[content_id] = row
                return content_id
        raise Permanent(f"no free content ID for {material_id!r} revision {revision}")

    def join(self, content_id: str, policy: str, row: int, exemplar: bool) -> None:
        """Make the row a member; the first member of an emptied cluster becomes its centre."""
        self._db.later("INSERT INTO members VALUES (?, ?, ?, ?)", (row, policy, content_id, exemplar))
        if content_id not in self._centres:  # else it has one
            self._db.execute("UPDATE content_ids SET centre=? WHERE content_id=? AND centre IS NULL", (row, content_id))

    def leave_all(self, row: int) -> list[int]:
        """Take the row out of every cluster; where it was the centre, the oldest exemplar left takes its place.

        Returns:
            The rows of the new centres.
        """
        heirs: list[int] = []
        left = self._db.execute(
            "SELECT content_id, policy, material_id, c.centre FROM members JOIN materials m USING (row)"
            " JOIN content_ids c USING (content_id, policy) WHERE row=? ORDER BY policy",
            (row,),
        ).fetchall()
        self._db.execute("DELETE FROM members WHERE row=?", (row,))
        self._db.execute("DELETE FROM post_media WHERE row=?", (row,))
        for content_id, policy, material_id, centre in left:
            self._centres.pop(content_id, None)
            self._events.add(Event(policy=policy, content_id=content_id, what="left", material_id=material_id))
            if centre == row:
                heirs.extend(self._hand_over(content_id, policy))
        return heirs

    def _hand_over(self, content_id: str, policy: str) -> list[int]:
        """The centre is gone: the oldest exemplar takes its place, or the oldest member where none is left. Its row."""
        heir = self._db.execute(
            "SELECT row, material_id FROM members JOIN materials USING (row) WHERE content_id=?"
            " ORDER BY exemplar DESC, row LIMIT 1",
            (content_id,),
        ).fetchone()
        self._db.execute("UPDATE content_ids SET centre=? WHERE content_id=?", (heir and heir[0], content_id))
        if heir:
            self._events.add(Event(policy=policy, content_id=content_id, what="handed_over", material_id=heir[1]))
            self._db.execute("UPDATE members SET exemplar=1 WHERE row=? AND policy=?", (heir[0], policy))
        return [heir[0]] if heir else []

    def centres(self, content_ids: Iterable[str]) -> dict[str, int]:
        """Content ID -> row of its centre; those without members are left out."""
        wanted = list(content_ids)
        missing = [content_id for content_id in wanted if content_id not in self._centres]
        if missing:
            if len(self._centres) + len(missing) > CENTRES_KEPT:
                self._centres.clear()
                self._db.flush()
                missing = wanted
            rows = self._db.peek(
                "SELECT content_id, centre FROM content_ids"
                " WHERE centre IS NOT NULL AND content_id IN (SELECT value FROM json_each(?))",
                (json.dumps(missing),),
            )
            self._centres.update(rows)
        return {content_id: self._centres[content_id] for content_id in wanted if content_id in self._centres}

    def resolve(self, content_id: str) -> str | None:
        """The canonical content ID, None when it was never minted."""
        row = self._db.execute(
            "WITH RECURSIVE way(id, next) AS ("
            " SELECT content_id, redirect_to FROM content_ids WHERE content_id=?"
            " UNION SELECT c.content_id, c.redirect_to FROM content_ids c JOIN way ON c.content_id=way.next)"
            " SELECT id FROM way WHERE next IS NULL",
            (content_id,),
        ).fetchone()
        return None if row is None else str(row[0])

    def redirect(self, content_id: str, to: str) -> None:
        """Merge one cluster into another: its members and the posts that name it move, the old ID answers for ever.

        Raises:
            Permanent: an unknown ID, another policy or kind, or a redirect onto itself.
        """
        ends = self.resolve(content_id), self.resolve(to)
        if None in ends or ends[0] == ends[1]:
            raise Permanent(f"cannot redirect {content_id!r} to {to!r}: unknown, or already the same")
        scenes = {self._scene(end) for end in ends if end is not None}
        if len(scenes) != 1:
            raise Permanent(f"cannot redirect {content_id!r} to {to!r}: they differ in policy or kind")
        source, target = ends
        self._centres.clear()
        for table in ("members", "post_media"):
            self._db.execute(f"UPDATE {table} SET content_id=? WHERE content_id=?", (target, source))  # noqa: S608
        self._db.execute("UPDATE content_ids SET redirect_to=?, centre=NULL WHERE content_id=?", (target, source))
        self._db.execute(
            "UPDATE content_ids SET centre=(SELECT row FROM members WHERE content_id=?1"
            " ORDER BY exemplar DESC, row LIMIT 1) WHERE content_id=?1 AND centre IS NULL",
            (target,),
        )

    def _scene(self, content_id: str) -> tuple[str, str]:
        query = "SELECT policy, kind FROM content_ids WHERE content_id=?"
        policy, kind = self._db.execute(query, (content_id,)).fetchone()
        return policy, kind

    def row(self, content_id: str) -> ContentIdRow:
        """A content ID as it is stored, not resolved.

        Raises:
            KeyError: it was never minted.
        """
        query = (
            "SELECT content_id, policy, kind, founder, revision, ordinal, centre, created, redirect_to, born,"
            " split_from FROM content_ids WHERE content_id=?"
        )
        found = self._db.execute(query, (content_id,)).fetchone()
        if found is None:
            raise KeyError(content_id)
        return ContentIdRow(*found)

    def by_age(self, policy: str, after: int, limit: int) -> list[tuple[int, str, int]]:
        """(born, content ID, row of its centre) of canonical IDs with members, born after that, oldest first."""
        query = (
            "SELECT born, content_id, centre FROM content_ids WHERE born > ? AND policy=? AND redirect_to IS NULL"
            " AND centre IS NOT NULL ORDER BY born LIMIT ?"
        )
        return self._db.execute(query, (after, policy, limit)).fetchall()

    def stored_members(self, content_id: str) -> list[Member]:
        """The members of a canonical content ID, oldest first."""
        query = (
            "SELECT row, material_id, exemplar FROM members JOIN materials USING (row) WHERE content_id=? ORDER BY row"
        )
        return [Member(row, name, bool(exemplar)) for row, name, exemplar in self._db.execute(query, (content_id,))]

    def places(self, policy: str, material_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Material -> (content ID, row) of those that are stored members under a policy."""
        names = list(material_ids)
        found: dict[str, tuple[str, int]] = {}
        for start in range(0, len(names), NAMES_AT_ONCE):
            some = names[start : start + NAMES_AT_ONCE]
            places = ",".join("?" * len(some))  # not json_each, which ends a string at a NUL
            query = (
                "SELECT m.material_id, c.content_id, m.row FROM materials m JOIN members c"  # noqa: S608
                f" ON c.row=m.row AND c.policy=? WHERE m.live AND m.material_id IN ({places})"
            )
            rows = self._db.execute(query, (policy, *some))
            found.update((material_id, (content_id, row)) for material_id, content_id, row in rows)
        return found

    def rename_media(self, rows: Iterable[tuple[int, int]], policy: str, content_id: str) -> None:
        """A medium of posts has another content ID now. `rows`: (row of the post, place of the medium)."""
        self._db.executemany(
            "UPDATE post_media SET content_id=? WHERE row=? AND ordinal=? AND policy=?",
            [(content_id, row, ordinal, policy) for row, ordinal in rows],
        )

    def members(self, content_id: str) -> list[str]:
        """Material ids, oldest first, through redirects; empty for an unknown ID."""
        canonical = self.resolve(content_id)
        rows = self._db.execute(
            "SELECT material_id FROM members JOIN materials USING (row) WHERE content_id=? ORDER BY row", (canonical,)
        )
        return [material_id for (material_id,) in rows]

    def members_page(self, content_id: str, after: int, limit: int) -> MembersPage:
        """Up to `limit` members of rows beyond `after`, oldest first, through redirects."""
        canonical = self.resolve(content_id)
        if canonical is None:
            return MembersPage(None, [], 0, 0)
        found = self._db.execute(
            "SELECT row, material_id FROM members JOIN materials USING (row)"
            " WHERE content_id=? AND row>? ORDER BY row LIMIT ?",
            (canonical, after, limit + 1),
        ).fetchall()
        total = self._db.execute("SELECT count(*) FROM members WHERE content_id=?", (canonical,)).fetchone()[0]
        page = found[:limit]
        following = page[-1][0] if len(found) > limit else 0
        return MembersPage(canonical, [material_id for _, material_id in page], following, total)

    def set_media(self, row: int, policy: str, media: Sequence[tuple[Kind, str]]) -> None:
        """A post's media, in order, by content ID; replaces what stood there."""
        self._db.execute("DELETE FROM post_media WHERE row=? AND policy=?", (row, policy))
        self._db.executemany(
            "INSERT INTO post_media VALUES (?, ?, ?, ?, ?)",
            [(row, policy, ordinal, kind, content_id) for ordinal, (kind, content_id) in enumerate(media)],
        )

    def media(self, row: int, policy: str) -> tuple[tuple[str, str], ...]:
        """A post's media as (kind, content ID) under the policy; under any other where it has none there."""
        rows = self._db.execute(
            "SELECT kind, content_id FROM post_media WHERE row=?1 AND policy=coalesce("
            " (SELECT policy FROM post_media WHERE row=?1 AND policy=?2), (SELECT min(policy) FROM post_media"
            " WHERE row=?1)) ORDER BY ordinal",
            (row, policy),
        )
        return tuple(rows.fetchall())

    def posts_sharing(self, content_ids: Iterable[str], limit: int) -> list[tuple[int, float]]:
        """Posts that hold some of these media: (row, how many of them), most first, then oldest."""
        return self._db.execute(
            "SELECT row, count(DISTINCT content_id) AS shared FROM post_media"
            " WHERE content_id IN (SELECT value FROM json_each(?)) GROUP BY row ORDER BY shared DESC, row LIMIT ?",
            (json.dumps(sorted(set(content_ids))), limit),
        ).fetchall()
