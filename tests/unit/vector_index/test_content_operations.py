"""Merges, splits and verdicts of persons, and that they hold against whatever arrives later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_items import deletion, image, near, plain_rankers, post, vectors
from msgspec.structs import replace

from materials.errors import UsageError
from vector_index.content import explaining, history, operations, proposals
from vector_index.engine import Engine

V = vectors(12)
WHO, WHY = "moderator", "looked at both"


def open_engine(folder: Path) -> Engine:
    ticks = iter(range(1, 1_000_000))
    return Engine(folder, plain_rankers(), clock=lambda: float(next(ticks)))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(tmp_path)
    yield made
    made.close()


def do(engine: Engine, operation: Callable, *arguments: object) -> operations.Changed:  # type: ignore[type-arg]
    return engine.change(lambda shelf: operation(shelf, *arguments, WHO, WHY))


def id_of(engine: Engine, name: str, policy: str = "feed") -> str:
    return engine.look(lambda shelf: shelf.log.clusters.places(policy, [name]).get(name, ("", 0))[0])


def test_the_older_survives_a_merge_whichever_is_named_first(engine: Engine) -> None:
    a, b, c = (one.content_id for one in engine.assign([image(f"m{i}", V[i]) for i in range(3)]))
    assert do(engine, operations.merge, b, a).redirected == b
    changed = do(engine, operations.merge, a, c)
    assert (changed.content_id, changed.redirected, changed.moved) == (a, c, {"m2": a})
    assert {engine.resolve(one) for one in (a, b, c)} == {a}
    assert engine.members(c) == ["m0", "m1", "m2"]
    assert do(engine, operations.merge, b, c).changed is False
    assert engine.assign([image("again", near(V[2], 0.99))])[0].content_id == a


def test_a_split_mints_a_new_id_with_lineage_and_newcomers_find_it(engine: Engine) -> None:
    whole = engine.assign([image("a", V[0]), image("b", near(V[0], 0.93, 5)), image("c", near(V[0], 0.97, 6))])
    old = whole[0].content_id
    changed = do(engine, operations.split, old, ["b"])
    assert changed.new not in ("", old)
    assert engine.members(old) == ["a", "c"]
    assert engine.members(changed.new) == ["b"]
    row = engine.look(lambda shelf: shelf.log.clusters.row(changed.new))
    assert (row.split_from, row.ordinal, row.founder) == (old, 1, "b")
    assert engine.assign([image("like-b", near(V[0], 0.93, 5))])[0].content_id == changed.new
    # joined again and split again: the ordinal counts up, no ID is used twice
    do(engine, operations.merge, old, changed.new)
    assert do(engine, operations.split, old, ["b"]).new not in (old, changed.new)


def test_a_centre_that_is_split_off_hands_over(engine: Engine) -> None:
    old = engine.assign([image("a", V[0]), image("b", near(V[0], 0.99))])[0].content_id
    new = do(engine, operations.split, old, ["a"]).new
    assert (engine.members(old), engine.members(new)) == (["b"], ["a"])
    assert engine.assign([image("c", near(V[0], 0.99))])[0].content_id == old
    entries = engine.look(lambda shelf: history.of_content_id(shelf, old)).entries
    assert [entry.what for entry in entries] == ["minted", "joined", "handed_over", "split", "joined"]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["x"], "x: no member"), ([], "no material is named"), (["a", "b"], "all 2 members"), (["a"], "the same")],
)
def test_a_split_that_makes_no_sense_is_refused(engine: Engine, names: list[str], words: str) -> None:
    old = engine.assign([image("a", V[0]), image("b", near(V[0], 0.99))])[0].content_id
    do(engine, operations.link, "feed", "a", "b")
    with pytest.raises(UsageError, match=words):
        do(engine, operations.split, old, names)


def test_a_link_joins_now_and_whenever_one_comes_back(engine: Engine) -> None:
    engine.assign([image("a", V[0]), image("b", V[1])])
    a = id_of(engine, "a")
    assert do(engine, operations.link, "feed", "b", "a").content_id == a
    assert id_of(engine, "b") == a
    engine.assign([deletion("b")])
    again = engine.assign([image("b", V[2], revision=1)])[0]
    assert (again.content_id, again.outcome) == (a, "duplicate")
    assert again.matched is not None
    assert (again.matched.material_id, again.matched.ranker) == ("a", "person@1")


def test_an_unlink_parts_and_keeps_apart_for_ever(engine: Engine) -> None:
    one, copy = engine.assign([image("a", V[0]), image("b", near(V[0], 0.999))])
    changed = do(engine, operations.unlink, "feed", "b", "a")
    assert (changed.moved, id_of(engine, "a")) == (
        {"b": changed.new},
        one.content_id == copy.content_id and one.content_id,
    )
    for refused in (partial(operations.merge), partial(operations.link)):
        arguments = (changed.new, one.content_id) if refused.func is operations.merge else ("feed", "a", "b")
        with pytest.raises(UsageError, match="different"):
            do(engine, refused, *arguments)
    engine.assign([deletion("b")])
    assert engine.assign([image("b", V[0], revision=1)])[0].content_id != one.content_id
    # the same bytes once more: nearest to both, and free to join either
    assert engine.assign([image("c", V[0])])[0].outcome == "duplicate"


def test_copies_that_came_in_through_the_one_that_leaves_go_with_it(engine: Engine) -> None:
    whole = engine.assign([image("a", V[0]), image("b", near(V[0], 0.95, 3))])[0].content_id
    engine.assign([image("b2", near(V[0], 0.95, 3)), image("b3", near(V[0], 0.95, 3)), image("a2", V[0])])
    do(engine, operations.link, "feed", "a", "b3")
    changed = do(engine, operations.unlink, "feed", "a", "b")
    assert changed.moved == dict.fromkeys(("b", "b2"), changed.new)
    assert engine.members(whole) == ["a", "b3", "a2"]  # a person bound b3 to the centre


def test_different_holds_for_all_that_persons_declared_the_same(engine: Engine) -> None:
    engine.assign([image("a", V[0]), image("a2", V[1]), image("b", V[2]), image("b2", V[3])])
    do(engine, operations.link, "feed", "a", "a2")
    do(engine, operations.link, "feed", "b", "b2")
    do(engine, operations.unlink, "feed", "a2", "b2")
    with pytest.raises(UsageError, match="different"):
        do(engine, operations.link, "feed", "a", "b")
    engine.assign([deletion("a"), deletion("a2")])
    assert engine.assign([image("a", near(V[2], 0.999), revision=1)])[0].content_id != id_of(engine, "b")


def test_a_withdrawn_verdict_decides_nothing_more(engine: Engine) -> None:
    engine.assign([image("a", V[0]), image("b", near(V[0], 0.999))])
    do(engine, operations.unlink, "feed", "a", "b")
    engine.change(lambda shelf: operations.withdraw(shelf, "feed", "b", "a", "different", WHO, "was wrong"))
    engine.assign([deletion("b")])
    assert engine.assign([image("b", V[0], revision=1)])[0].content_id == id_of(engine, "a")
    with pytest.raises(UsageError, match="nobody declared"):
        engine.change(lambda shelf: operations.withdraw(shelf, "feed", "b", "a", "different", WHO, ""))


@pytest.mark.parametrize(
    ("one", "other", "policy", "words"),
    [
        ("a", "a", "feed", "named twice"),
        ("a", "ghost", "feed", "ghost is no stored material"),
        ("a", "P", "feed", "of kind image and P of kind post"),
        ("a", "b", "copyright", "under policy copyright"),
        ("a", "b", "feet", "unknown policy"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused(
    engine: Engine, one: str, other: str, policy: str, words: str
) -> None:
    engine.assign([image("a", V[0]), image("b", V[1]), post("P", V[2], [V[3]])])
    for operation in (operations.link, operations.unlink):
        with pytest.raises(UsageError, match=words):
            do(engine, operation, policy, one, other)
    with pytest.raises(UsageError, match="nobody is named"):
        engine.change(lambda shelf: operations.link(shelf, "feed", "a", "b", " ", ""))


def test_ids_of_other_kinds_or_policies_are_not_merged(engine: Engine) -> None:
    a, posted = engine.assign([image("a", V[0]), post("P", V[2], [V[3]])])
    other = engine.assign([image("c", V[4], policy="copyright")])[0]
    for one in (posted.content_id, other.content_id):
        with pytest.raises(UsageError, match=r"under policy feed, .* under feed|under policy copyright, .*under feed"):
            do(engine, operations.merge, a.content_id, one)
    with pytest.raises(UsageError, match="never minted"):
        do(engine, operations.merge, a.content_id, "feed-none")


def test_posts_learn_the_new_id_of_a_medium_that_was_split_off(engine: Engine) -> None:
    engine.assign([image("a", V[0])])
    posted = engine.assign([post("P", V[5], [V[6], near(V[0], 0.99)])])[0]
    assert posted.parts[1].content_id == id_of(engine, "a")
    new = do(engine, operations.split, id_of(engine, "a"), ["P/1"]).new
    media = engine.look(lambda shelf: shelf.log.clusters.media(shelf.log.live("P").row, "feed"))  # type: ignore[union-attr]
    assert media == (("image", posted.parts[0].content_id), ("image", new))


def test_get_tells_the_content_id_of_now_after_a_split(engine: Engine) -> None:
    items = [image("a", V[0]), image("b", near(V[0], 0.99))]
    first = engine.assign(items)
    new = do(engine, operations.split, first[0].content_id, ["b"]).new
    assert [one.content_id for one in engine.get(["a", "b"], "feed") if one] == [first[0].content_id, new]
    assert [replace(one, replayed=False) for one in engine.assign(items)] == first  # a replay is what was answered


def test_everything_holds_after_a_restart(engine: Engine, tmp_path: Path) -> None:
    engine.assign([image("a", V[0]), image("b", near(V[0], 0.999)), image("c", V[2])])
    do(engine, operations.unlink, "feed", "a", "b")
    do(engine, operations.link, "feed", "b", "c")
    before = {name: id_of(engine, name) for name in "abc"}
    engine.close()
    again = open_engine(tmp_path)
    assert {name: id_of(again, name) for name in "abc"} == before
    again.assign([deletion("b"), deletion("c")])
    assert again.assign([image("b", V[0], revision=1)])[0].content_id not in (before["a"],)
    with pytest.raises(UsageError, match="different"):
        do(again, operations.link, "feed", "b", "a")
    again.close()


def test_history_tells_the_whole_life(engine: Engine) -> None:
    a, b = (one.content_id for one in engine.assign([image("a", V[0]), image("b", V[1])]))
    engine.assign([image("a2", near(V[0], 0.98)), image("b2", near(V[1], 0.98))])
    do(engine, operations.link, "feed", "a", "b")
    engine.assign([deletion("a")])
    engine.assign([image("a2", V[4], revision=1)])
    told = engine.look(lambda shelf: history.of_content_id(shelf, a))
    assert (told.founder, told.members, told.canonical) == ("a", 2, a)
    assert [(entry.what, entry.material_id) for entry in told.entries] == [
        ("minted", "a"),
        ("joined", "a2"),
        ("absorbed", ""),
        ("same", "a"),
        ("deleted", "a"),
        ("handed_over", "b"),
        ("replaced", "a2"),
    ]
    assert [entry.what for entry in engine.look(lambda s: history.of_content_id(s, b)).entries] == [
        "minted",
        "joined",
        "merged",
    ]
    of_b2 = engine.look(lambda shelf: history.of_material(shelf, "b2", "feed"))
    assert [entry.what for entry in of_b2.entries] == ["joined", "merged"]
    assert of_b2.canonical == a
    for entry in told.entries:
        assert entry.at is not None
    with pytest.raises(UsageError):
        engine.look(lambda shelf: history.of_content_id(shelf, "feed-none"))
    with pytest.raises(UsageError):
        engine.look(lambda shelf: history.of_material(shelf, "nobody", "feed"))


def test_a_scan_finds_what_two_writers_left_and_obeys_verdicts(tmp_path: Path) -> None:
    """An engine whose rule joins nothing is what two writers that do not see each other are."""
    blind = Engine(tmp_path, plain_rankers(), clock=lambda: 1.0, place=lambda *_: None)
    blind.assign([image(f"m{i}", near(V[i % 4], 0.98, i)) for i in range(12)])
    blind.close()
    engine = open_engine(tmp_path)
    do(engine, operations.unlink, "feed", "m1", "m5")
    found = []
    after, seen = 0, 0
    while True:
        page = engine.look(lambda shelf, start=after: proposals.scan(shelf, "feed", start, 5))  # type: ignore[misc]
        found += page.proposals
        seen += page.scanned
        after = page.after
        if not after:
            break
    assert seen == 12
    barred = [one for one in found if one.barred]
    assert {frozenset((one.material_id, one.other)) for one in barred} == {frozenset(("m1", "m5"))}
    for one in found:
        assert one.score >= one.needed
        if not one.barred:
            try:
                do(engine, operations.merge, one.content_id, one.into)
            except UsageError as error:
                assert "different" in error.message  # noqa: PT017
    groups = {frozenset(engine.members(id_of(engine, f"m{i}"))) for i in range(12)}
    assert {frozenset({f"m{i}", f"m{i + 4}", f"m{i + 8}"}) for i in (0, 2, 3)} <= groups
    assert id_of(engine, "m1") != id_of(engine, "m5")
    engine.close()


def test_a_scan_does_not_undo_what_a_person_split(engine: Engine) -> None:
    old = engine.assign([image("a", V[0]), image("b", near(V[0], 0.99))])[0].content_id
    new = do(engine, operations.split, old, ["b"]).new
    [proposal] = engine.look(lambda shelf: proposals.scan(shelf, "feed", 0, 50)).proposals
    assert {proposal.content_id, proposal.into} == {old, new}
    assert proposal.barred == f"{new} was split off {old} by a person"
    assert engine.look(lambda shelf: explaining.explain(shelf, "a", "b", "feed")).split == proposal.barred


names = st.integers(0, 6).map(lambda i: f"m{i}")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("assign"), names, st.integers(0, 2)),
        st.tuples(st.just("delete"), names, st.just(0)),
        st.tuples(st.sampled_from(["link", "unlink", "withdraw", "merge", "split"]), names, names),
    ),
    min_size=4,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_verdicts_hold_whatever_happens(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:  # type: ignore[type-arg]
    """After every step: the groups of verdicts share an ID, those kept apart share none, and every ID has a centre."""
    engine = open_engine(tmp_path_factory.mktemp("e"))
    revision = dict.fromkeys((f"m{i}" for i in range(7)), 0)
    for what, name, other in steps:
        try:
            if what == "assign":
                engine.assign([image(name, near(V[other], 0.97, revision[name]), revision=revision[name])])
                revision[name] += 1
            elif what == "delete":
                engine.assign([deletion(name, revision=revision[name])])
                revision[name] += 1
            elif what in ("link", "unlink"):
                do(engine, operations.link if what == "link" else operations.unlink, "feed", name, other)
            elif what == "withdraw":
                said = "same" if int(name[1]) % 2 else "different"
                engine.change(lambda s, n=name, o=other, v=said: operations.withdraw(s, "feed", n, o, v, WHO, ""))  # type: ignore[misc]
            elif what == "merge":
                do(engine, operations.merge, id_of(engine, name), id_of(engine, other))
            else:
                do(engine, operations.split, id_of(engine, name), [name])
        except UsageError:
            pass
        places = engine.look(lambda s: s.log.clusters.places("feed", [f"m{i}" for i in range(7)]))
        verdicts = engine.look(lambda s: s.log.verdicts)
        for one, (content_id, _) in places.items():
            group = verdicts.group("feed", one)
            assert {places[n][0] for n in group & places.keys()} == {content_id}
            assert not {places[n][0] for n in verdicts.kept_apart("feed", group) if n in places} & {content_id}
            row = engine.look(lambda s, c=content_id: s.log.clusters.row(c))  # type: ignore[misc]
            assert row.redirect_to is None
            assert row.centre in {m.row for m in engine.look(lambda s, c=content_id: s.log.clusters.stored_members(c))}  # type: ignore[misc]
    engine.close()
