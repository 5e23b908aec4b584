"""`sosie content merge|split|link|unlink|history|rebuild`: what persons and the merge job do to content IDs."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from materials.errors import UsageError
from pipeline import lookups, rebuilding
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.renaming import rename
from vector_index.content.client import ContentClient
from vector_index.content.records import Changed, History, HistoryEntry, Proposal
from vector_index.content.replay import ReplayReport, replay
from vector_index.log_verdicts import Said
from vector_index.ranking.registry import default_rankers

PAGE = 16
"""Content IDs of one page of a scan: short calls, so that writers wait for none of them."""
MERGE_JOB = "merge job"

PolicyOption = Annotated[str, typer.Option("--policy", help="The policy whose content IDs are meant.")]
ByOption = Annotated[str, typer.Option("--by", help="Who decides. Default: your user name.", show_default=False)]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; it is kept with the decision.")]
WithdrawOption = Annotated[bool, typer.Option("--withdraw", help="Take back what was said of the two.")]
Materials = Annotated[str, typer.Argument(metavar="MATERIAL_ID")]


def merge(
    content_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[CONTENT_ID…]", help="Two; the older survives.")
    ] = None,
    scan: Annotated[bool, typer.Option("--scan", help="Look for IDs that the scores say are one. Changes nothing.")] = (
        False
    ),
    apply: Annotated[bool, typer.Option("--apply", help="With --scan: merge what is found.")] = False,
    policy: PolicyOption = "feed",
    by: ByOption = "",
    why: WhyOption = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Make two content IDs one, by hand or for all that the scores say are one; old IDs answer for ever."""
    where = lookups.addresses(state_folder(state))
    if scan:
        if content_ids:
            raise UsageError("--scan looks at all content IDs of a policy", "sosie content merge --scan --policy feed")
        _scan(where.index, policy, apply, as_json)
        return
    if content_ids is None or len(content_ids) != 2 or apply:
        raise UsageError("merge takes two content IDs, or --scan", "sosie content merge ID ID --why '…'")
    with ContentClient(where.index) as client:
        changed = client.merge(content_ids[0], content_ids[1], _who(by), why)
    _show(changed, as_json)


def split(
    content_id: Annotated[str, typer.Argument(metavar="CONTENT_ID")],
    material_ids: Annotated[list[str], typer.Argument(metavar="MATERIAL_ID…", help="Those that leave it.")],
    by: ByOption = "",
    why: WhyOption = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Take members out of a content ID into a new one, which remembers where it came from."""
    where = lookups.addresses(state_folder(state))
    with ContentClient(where.index) as client:
        changed = client.split(content_id, material_ids, _who(by), why)
        policy = client.history_of_content_id(changed.content_id).policy
    _rename(where.redis, policy, changed)
    _show(changed, as_json)


def link(
    one: Materials,
    other: Materials,
    withdraw: WithdrawOption = False,
    policy: PolicyOption = "feed",
    by: ByOption = "",
    why: WhyOption = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Declare two materials the same, for ever and whatever the scores say: they share a content ID."""
    _judge(one, other, "same", withdraw, policy, by, why, state_folder(state), as_json)


def unlink(
    one: Materials,
    other: Materials,
    withdraw: WithdrawOption = False,
    policy: PolicyOption = "feed",
    by: ByOption = "",
    why: WhyOption = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Declare two materials different, for ever and whatever the scores say: they never share a content ID."""
    _judge(one, other, "different", withdraw, policy, by, why, state_folder(state), as_json)


def history(
    name: Annotated[str, typer.Argument(metavar="CONTENT_ID|MATERIAL_ID")],
    policy: PolicyOption = "feed",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """What happened to a content ID or a material: minted, joined, merged, split, declared, deleted; when and why."""
    where = lookups.addresses(state_folder(state))
    with ContentClient(where.index) as client:
        known = client.resolve(name) is not None
        found = client.history_of_content_id(name) if known else client.history_of_material(name, policy)
    if as_json:
        output.print_json(found)
        return
    for line in (_headline(found), *splits_told(found)):
        output.out.print(escape(line), soft_wrap=True)
    table = Table("when (UTC)", "what", "score", "by", "why")
    for entry in found.entries:
        score = "" if entry.score is None else f"{entry.score:.3f}"
        table.add_row(_time(entry.at), escape(_sentence(entry)), score, escape(entry.who), escape(entry.why))
    output.out.print(table)
    if found.left_out:
        output.out.print(f"{found.left_out} entries between the first and these are not shown", style="dim")


def rebuild(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: replay the index's log into an empty folder and compare.")
    ] = False,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Write the outcomes in Redis anew out of the index's log; or prove that its inputs give the same content IDs."""
    folder = state_folder(state)
    log = folder / "index" / "log.sqlite"
    if not check:
        done = rebuilding.rebuild(log, lookups.addresses(folder).redis)
        if as_json:
            output.print_json(done)
        else:
            told = f"{done.missing} were missing, {done.changed} had another content ID"
            output.out.print(f"{done.outcomes} outcomes in the log: {told}; all are right now", soft_wrap=True)
        return
    report = replay(log, default_rankers())
    if as_json:
        output.print_json(report)
    else:
        output.out.print(_replayed(report), soft_wrap=True)
        for one in report.differences:
            line = f"{one.material_id} ({one.policy}): {one.recorded or 'a new ID'}, now {one.replayed or 'a new ID'}"
            output.out.print(escape(line), soft_wrap=True)
        for row in report.unequal:
            output.out.print(escape(f"only on one side: {row}"), soft_wrap=True)
    if report.different or not report.identical:
        raise typer.Exit(output.EXIT_FAILED)


def _replayed(report: ReplayReport) -> str:
    erased = f", {report.taken} taken from the log, since their evidence is erased" if report.taken else ""
    ends = f"with {report.members} members are {'' if report.identical else 'NOT '}the same"
    return (
        f"{report.decisions} decisions and {report.operations} operations replayed: {report.same} came out the same, "
        f"{report.different} otherwise{erased}; {report.content_ids} content IDs {ends}"
    )


def _judge(
    one: str, other: str, said: Said, withdraw: bool, policy: str, by: str, why: str, state: Any, as_json: bool
) -> None:
    where = lookups.addresses(state)
    with ContentClient(where.index) as client:
        judge = client.withdraw if withdraw else client.judge
        changed = judge(policy, one, other, said, _who(by), why)
    _rename(where.redis, policy, changed)
    _show(changed, as_json)
    if withdraw and said == "same" and not as_json:
        hint = f"they share it until one is split off: sosie content split {changed.content_id} {other} --why '…'"
        output.out.print(escape(hint), style="dim", soft_wrap=True)


def _scan(index: str, policy: str, apply: bool, as_json: bool) -> None:
    found: list[Proposal] = []
    merged: list[Changed] = []
    scanned = refused = 0
    with ContentClient(index) as client:
        for proposals, seen in _pages(client, policy):
            scanned += seen
            found.extend(proposals)
        for one in found if apply else ():
            if one.barred:
                continue
            why = f"{one.material_id} and {one.other} score {one.score:.3f}, {one.needed:.2f} is enough"
            try:
                changed = client.merge(one.content_id, one.into, MERGE_JOB, why, one.score)
            except UsageError:  # an earlier merge of this scan brought two together that a person keeps apart
                refused += 1
                continue
            if changed.changed:
                merged.append(changed)
    barred = sum(bool(one.barred) for one in found)
    summary = {"scanned": scanned, "found": len(found), "merged": len(merged), "kept_apart": barred + refused}
    if as_json:
        output.print_json({**summary, "proposals": found})
        return
    table = Table(
        output.whole("content ID"), output.whole("into the older"), "material", "is near", "score", "needed", ""
    )
    for one in found:
        numbers = (f"{one.score:.3f}", f"{one.needed:.2f}")
        table.add_row(
            one.content_id, one.into, escape(one.material_id), escape(one.other), *numbers, escape(one.barred)
        )
    if found:
        output.out.print(table)
    done = f"{len(merged)} merged" if apply else "nothing changed (merge them: --scan --apply)" if found else "all well"
    apart = f", {barred + refused} kept apart by persons" if barred + refused else ""
    output.out.print(
        f"{scanned} content IDs looked at, {_counted(len(found), 'pair')} that should be one{apart}: {done}"
    )


def _pages(client: ContentClient, policy: str) -> Iterator[tuple[list[Proposal], int]]:
    """Proposals, each pair once: both its sides may find it."""
    known: set[tuple[str, str]] = set()
    after = 0
    while True:
        page = client.merge_proposals(policy, after, PAGE)
        fresh = [one for one in page.proposals if (one.content_id, one.into) not in known]
        known.update((one.content_id, one.into) for one in fresh)
        yield fresh, page.scanned
        after = page.after
        if not after:
            return


def _rename(redis_url: str, policy: str, changed: Changed) -> None:
    if changed.moved and not changed.redirected:
        rename(redis_url, policy, changed.moved)


def _who(by: str) -> str:
    """The person, or the account of this machine."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("this machine does not know your name", "say who decides: --by NAME") from None


def _show(changed: Changed, as_json: bool) -> None:
    if as_json:
        output.print_json(changed)
    elif not changed.changed:
        output.out.print(f"it was so already: {changed.content_id}")
    elif changed.redirected:
        output.out.print(f"{changed.redirected} → {changed.content_id}: {len(changed.moved)} materials moved")
    elif changed.new:
        names = ", ".join(list(changed.moved)[:8]) + ("…" if len(changed.moved) > 8 else "")
        output.out.print(escape(f"{changed.new}, split off {changed.content_id}, has {names}"), soft_wrap=True)
    else:
        output.out.print(f"noted; {changed.content_id} stays as it is")


def _headline(found: History) -> str:
    if found.material_id:
        now = f", now {found.canonical}" if found.canonical != found.content_id else ""
        return f"{found.material_id} ({found.kind}, policy {found.policy}): {found.content_id}{now}"
    redirect = f", redirected to {found.canonical}" if found.canonical != found.content_id else ""
    lineage = f", split off {found.split_from}" if found.split_from else ""
    return (
        f"{found.content_id} ({found.kind}, policy {found.policy}), founded by {found.founder}{lineage}{redirect}; "
        f"{_counted(found.members, 'member')}"
    )


def splits_told(found: History) -> list[str]:
    """A sentence for each split: who took whom out of what, when and why, and which content ID they have since."""
    told = []
    for entry in found.entries:
        if entry.what not in ("split", "split_off"):
            continue
        names = list(entry.details.get("members", ())) or [entry.material_id]
        more = int(entry.details.get("count", len(names))) - len(names[:8])
        whom = ", ".join(names[:8]) + (f" and {more} more" if more > 0 else "")
        when = "" if entry.at is None else f" on {_time(entry.at)[:10]}"
        why = f" (“{entry.why}”)" if entry.why else ""
        who = entry.who or "A person"
        told.append(f"{who} took {whom} out of {entry.content_id}{when}{why}; they went to {entry.other}.")
    return told


def _sentence(entry: HistoryEntry) -> str:
    it, other = entry.material_id, entry.other
    members = _counted(entry.details.get("count", 0), "member")
    told = {
        "minted": f"minted as {entry.content_id} when {it} came",
        "joined": f"{it} joined {entry.content_id} through {other}",
        "deleted": f"{it} was deleted",
        "replaced": f"{it} left: another revision replaced it",
        "merged": f"merged: {entry.content_id} into {other}, {members}",
        "absorbed": f"took in {entry.content_id} with {members}",
        "split": f"split: {members} went to {other} with {it} as their centre",
        "split_off": f"split off {entry.content_id} with {members}, {it} its centre",
        "handed_over": f"{it} became the centre of {entry.content_id}",
        "same": f"{it} and {other} were declared the same",
        "different": f"{it} and {other} were declared different",
        "withdrawn": f"taken back: {it} and {other} are {entry.details.get('verdict', '')}",
    }
    return told.get(entry.what, entry.what)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def add_to(group: typer.Typer) -> None:
    """Add the commands to `sosie content`."""
    example = "[bold]Example[/bold]: sosie content "
    group.command("merge", epilog=example + "merge --scan --policy feed    sosie content merge ID ID --why 'one ad'")(
        merge
    )
    group.command("split", epilog=example + "split feed-abcdefghijklmnop P7 P9 --why 'another match'")(split)
    group.command("link", epilog=example + "link P1 P7 --by anna --why 'same clip, dubbed'")(link)
    group.command("unlink", epilog=example + "unlink P1 P7 --by anna --why 'two matches, one stadium'")(unlink)
    group.command("rebuild", epilog=example + "rebuild --check")(rebuild)
    group.command("history", epilog=example + "history feed-abcdefghijklmnop --json")(history)
