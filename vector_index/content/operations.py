"""What persons and the merge job do to content IDs. Each runs in one transaction of the log: all of it, or nothing.

Every operation keeps the invariant of `log_verdicts`: stored members of one group share a content ID, and groups that
are kept apart share none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from materials.errors import UsageError
from vector_index.content.records import Changed
from vector_index.content.shelf import Shelf
from vector_index.log_clusters import ContentIdRow, Member
from vector_index.log_events import Event, EventKind
from vector_index.log_verdicts import Said, Verdict
from vector_index.policies import policy_named

MOST_WORDS = 2000
"""Characters of a reason or a name."""
TOLD = 1000
"""Moved members that an event names."""


def merge(shelf: Shelf, one: str, other: str, who: str, why: str, score: float | None = None) -> Changed:
    """Make two content IDs one: the older survives, the younger answers for ever through a redirect.

    Args:
        score: what the merge job found; kept with the event.

    Raises:
        UsageError: an unknown ID, another policy or kind, or a verdict keeps members of the two apart.
    """
    _check_words(who, why)
    older, younger = sorted((_canonical(shelf, one), _canonical(shelf, other)), key=lambda row: row.born)
    if older.content_id == younger.content_id:
        return Changed(content_id=older.content_id, changed=False)
    if (older.policy, older.kind) != (younger.policy, younger.kind):
        raise UsageError(
            f"{younger.content_id} is of {younger.kind}s under policy {younger.policy}, {older.content_id} of "
            f"{older.kind}s under {older.policy}",
            "only content IDs of one policy and kind can be merged",
        )
    verdict = barred_by(shelf, older.content_id, younger.content_id)
    if verdict is not None:
        raise UsageError(
            f"{younger.content_id} and {older.content_id} hold {verdict.one} and {verdict.other}, which {verdict.who} "
            "declared different",
            f"withdraw that first: sosie content unlink {verdict.one} {verdict.other} --withdraw, "
            "or split those that belong together",
        )
    moved = _join(shelf, younger.content_id, older.content_id, who, why, score)
    shelf.counters["merged"] += 1
    return Changed(content_id=older.content_id, redirected=younger.content_id, moved=moved)


def split(shelf: Shelf, content_id: str, material_ids: Sequence[str], who: str, why: str) -> Changed:
    """Take members out of a content ID into a new one, whose lineage names the old. The first named is its centre.

    Raises:
        UsageError: an unknown ID, a material that is no member, nobody would stay, or a verdict `same` binds one who
            leaves to one who stays.
    """
    _check_words(who, why)
    whole = _canonical(shelf, content_id)
    members = {member.material_id: member for member in shelf.log.clusters.stored_members(whole.content_id)}
    leaving = list(dict.fromkeys(material_ids))
    strangers = [name for name in leaving if name not in members]
    if strangers or not leaving:
        raise UsageError(
            f"{', '.join(strangers[:5])}: no member of {whole.content_id}" if strangers else "no material is named",
            f"look: sosie content members {whole.content_id}",
        )
    if len(leaving) == len(members):
        raise UsageError(f"all {len(members)} members of {whole.content_id} would leave it", "name those that go")
    for name in leaving:
        bound = sorted((shelf.log.verdicts.group(whole.policy, name) & members.keys()) - set(leaving))
        if bound:
            raise UsageError(
                f"a person declared {name} and {bound[0]} the same",
                f"name both, or withdraw it: sosie content link {name} {bound[0]} --withdraw",
            )
    return _part(shelf, whole, [members[name] for name in leaving], who, why)


def link(shelf: Shelf, policy: str, one: str, other: str, who: str, why: str) -> Changed:
    """A person says that two materials are the same: they share a content ID from now on, whatever the scores say.

    Raises:
        UsageError: a material without a content ID under the policy, other kinds, or a verdict `different` stands
            against it.
    """
    _check_words(who, why)
    here, there = _two(shelf, policy, one, other)
    verdicts = shelf.log.verdicts
    against = verdicts.kept_apart(policy, verdicts.group(policy, one)).get(other)
    if against is not None:
        raise UsageError(
            f"{against.who} declared {against.one} and {against.other} different ({against.why or 'no reason given'})",
            f"withdraw that first: sosie content unlink {against.one} {against.other} --withdraw",
        )
    known = verdicts.between(policy, one, other) is not None
    changed = Changed(content_id=here, changed=not known)
    if here != there:  # first, since it may be refused
        changed = merge(shelf, here, there, who, why or f"{one} and {other} are the same")
    if not known:
        _say(shelf, policy, one, other, "same", who, why, changed.content_id)
    return changed


def unlink(shelf: Shelf, policy: str, one: str, other: str, who: str, why: str) -> Changed:
    """A person says that two materials are different: they never share a content ID again, whatever the scores say.

    Where they share one now, the one that is not its centre (of two, the younger) leaves, with those that persons
    declared the same as it, and with those that came in through it: they are copies of it.

    Raises:
        UsageError: a material without a content ID under the policy, other kinds, or a verdict `same` stands against.
    """
    _check_words(who, why)
    here, there = _two(shelf, policy, one, other)
    verdicts = shelf.log.verdicts
    if other in verdicts.group(policy, one):
        direct = verdicts.between(policy, one, other)
        through = "" if direct is not None else ", by way of others"
        raise UsageError(
            f"a person declared {one} and {other} the same{through}",
            f"withdraw that first: sosie content link {one} {other} --withdraw"
            if direct is not None
            else f"look: sosie content history {one}",
        )
    known = verdicts.between(policy, one, other) is not None
    changed = Changed(content_id=here, changed=not known)
    if here == there:
        whole = shelf.log.clusters.row(here)
        members = {member.material_id: member for member in shelf.log.clusters.stored_members(here)}
        leaver = _leaver(members[one], members[other], whole, shelf)
        stayer = one if leaver.material_id == other else other
        with_it = _followers(shelf, policy, leaver.material_id, stayer, members)
        leaving = [leaver, *(members[name] for name in sorted(with_it - {leaver.material_id}))]
        changed = _part(shelf, whole, leaving, who, why or f"{one} and {other} are different")
    if not known:
        _say(shelf, policy, one, other, "different", who, why, here)
    return changed


def withdraw(shelf: Shelf, policy: str, one: str, other: str, said: Said, who: str, why: str) -> Changed:
    """Take a verdict back: from now on scores decide again. Content IDs stay as they are.

    Raises:
        UsageError: that was not said of the two.
    """
    _check_words(who, why)
    policy_named(policy, shelf.policies)
    verdict = shelf.log.verdicts.between(policy, one, other)
    if verdict is None or verdict.verdict != said:
        raise UsageError(
            f"nobody declared {one} and {other} {'the same' if said == 'same' else said} under policy {policy}",
            f"look: sosie content history {one} --policy {policy}",
        )
    shelf.log.verdicts.withdraw(verdict)
    content_id = shelf.log.clusters.places(policy, [one]).get(one, ("", 0))[0]
    event = Event(policy=policy, content_id=content_id, what="withdrawn", material_id=one, other=other)
    shelf.log.events.add(replace(event, who=who, why=why, details={"verdict": said, "given_by": verdict.who}))
    return Changed(content_id=content_id)


def barred_by(shelf: Shelf, one: str, other: str) -> Verdict | None:
    """The verdict that keeps two canonical content IDs apart, None where they may be merged."""
    policy = shelf.log.clusters.row(one).policy
    verdicts = shelf.log.verdicts
    if not verdicts.any(policy, "different"):
        return None
    theirs = {member.material_id for member in shelf.log.clusters.stored_members(other)}
    for member in shelf.log.clusters.stored_members(one):
        if verdicts.knows(policy, member.material_id):
            apart = verdicts.kept_apart(policy, verdicts.group(policy, member.material_id))
            for name in sorted(apart.keys() & theirs):
                return apart[name]
    return None


def _canonical(shelf: Shelf, content_id: str) -> ContentIdRow:
    canonical = shelf.log.clusters.resolve(content_id)
    if canonical is None:
        raise UsageError(f"{content_id} was never minted here", "look: sosie content get MATERIAL_ID")
    return shelf.log.clusters.row(canonical)


def _two(shelf: Shelf, policy: str, one: str, other: str) -> tuple[str, str]:
    """The content IDs of two materials, of one kind."""
    policy_named(policy, shelf.policies)
    if one == other:
        raise UsageError(f"{one} is named twice", "name two materials")
    places = shelf.log.clusters.places(policy, [one, other])
    for name in (one, other):
        if name not in places:
            raise UsageError(
                f"{name} is no stored material with a content ID under policy {policy}",
                f"look: sosie content get {name}",
            )
    infos = shelf.log.infos([row for _, row in places.values()], policy)
    kinds = {name: infos[places[name][1]].kind for name in (one, other)}
    if kinds[one] != kinds[other]:
        raise UsageError(
            f"{one} is of kind {kinds[one]} and {other} of kind {kinds[other]}",
            "only materials of one kind share a content ID",
        )
    return places[one][0], places[other][0]


def _leaver(one: Member, other: Member, whole: ContentIdRow, shelf: Shelf) -> Member:
    """Who leaves: not the centre's group; else the younger."""
    centre = next(m.material_id for m in shelf.log.clusters.stored_members(whole.content_id) if m.row == whole.centre)
    group = shelf.log.verdicts.group(whole.policy, centre)
    if one.material_id in group or other.material_id in group:
        return other if one.material_id in group else one
    return max(one, other, key=lambda member: member.row)


def redirect(shelf: Shelf, source: str, target: str, who: str, why: str, score: float | None = None) -> dict[str, str]:
    """Merge one canonical content ID into another, whichever is older; the materials that moved. For `merge`, which
    asks who is older and who keeps them apart, and for the replay of a log."""
    return _join(shelf, source, target, who, why, score)


def _followers(shelf: Shelf, policy: str, leaver: str, stayer: str, members: Mapping[str, Member]) -> set[str]:
    """Members that came in through the leaver, directly or by way of each other, and what verdicts bind to these; none
    that is bound to the centre or to the one that stays."""
    through: dict[str, list[str]] = {}
    for name in members:
        answer = shelf.log.latest(name, policy)
        if answer is not None and answer.matched is not None:
            through.setdefault(answer.matched.material_id, []).append(name)
    centre = shelf.log.clusters.centres([shelf.log.clusters.places(policy, [leaver])[leaver][0]])
    staying = verdict_group = shelf.log.verdicts.group(policy, stayer)
    for name, member in members.items():
        if member.row in centre.values() and name != leaver:
            staying = verdict_group | shelf.log.verdicts.group(policy, name)
    found: set[str] = set()
    open_ = sorted(shelf.log.verdicts.group(policy, leaver))
    while open_:
        name = open_.pop()
        if name in found or name in staying:
            continue
        found.add(name)
        open_ += [*through.get(name, ()), *sorted(shelf.log.verdicts.group(policy, name))]
    return found & members.keys()


def _join(shelf: Shelf, younger: str, older: str, who: str, why: str, score: float | None) -> dict[str, str]:
    members = shelf.log.clusters.stored_members(younger)
    row = shelf.log.clusters.row(younger)
    shelf.log.redirect(younger, older)
    told = [member.material_id for member in members[:TOLD]]
    details = {"members": told, "count": len(members)} | ({} if score is None else {"score": round(score, 6)})
    event = Event(policy=row.policy, content_id=younger, what="merged", other=older, who=who, why=why, details=details)
    shelf.log.events.add(event)
    return {member.material_id: older for member in members}


def _part(shelf: Shelf, whole: ContentIdRow, leaving: Sequence[Member], who: str, why: str) -> Changed:
    """`leaving`: its first is the new cluster's centre."""
    founder, *others = leaving
    live = shelf.log.live(founder.material_id)
    if live is None:
        raise AssertionError(f"{founder.material_id} is a member and not stored")
    new = shelf.log.split(whole.content_id, founder, live.revision, others)
    names = [member.material_id for member in leaving]
    shelf.log.events.add(
        Event(
            policy=whole.policy,
            content_id=whole.content_id,
            what="split",
            material_id=founder.material_id,
            other=new,
            who=who,
            why=why,
            details={"members": names[:TOLD], "count": len(names)},
        )
    )
    _rename_in_posts(shelf, whole.policy, names, new)
    shelf.counters["split"] += 1
    return Changed(content_id=whole.content_id, new=new, moved=dict.fromkeys(names, new))


def _rename_in_posts(shelf: Shelf, policy: str, material_ids: Sequence[str], content_id: str) -> None:
    """Posts know their media by content ID, so those of moved parts are told."""
    places: list[tuple[int, int]] = []
    for name in material_ids:
        post = shelf.log.live(name.rpartition("/")[0]) if "/" in name else None
        answer = shelf.log.latest(name.rpartition("/")[0], policy) if post is not None else None
        if post is not None and answer is not None:
            numbers = [number for number, part in enumerate(answer.parts) if part.material_id == name]
            places.extend((post.row, number) for number in numbers)
    shelf.log.clusters.rename_media(places, policy, content_id)


def _say(shelf: Shelf, policy: str, one: str, other: str, said: Said, who: str, why: str, content_id: str) -> None:
    first, second = sorted((one, other))
    at = shelf.log.events.now()
    verdict = Verdict(policy=policy, one=first, other=second, verdict=said, who=who, why=why, at=at)
    shelf.log.verdicts.give(verdict)
    revisions = {name: live.revision for name in (one, other) if (live := shelf.log.live(name)) is not None}
    what: EventKind = said
    event = Event(policy=policy, content_id=content_id, what=what, material_id=one, other=other, who=who, why=why)
    shelf.log.events.add(replace(event, details={"revisions": revisions}, at=at))
    shelf.counters[f"verdicts_{said}"] += 1


def _check_words(who: str, why: str) -> None:
    if not who.strip():
        raise UsageError("nobody is named for this decision", "say who decides: --by NAME")
    if max(len(who), len(why)) > MOST_WORDS:
        raise UsageError(f"a name or a reason of more than {MOST_WORDS} characters", "say it shorter")
