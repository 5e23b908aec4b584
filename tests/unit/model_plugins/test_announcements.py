"""Announcements as Curator writes and reads them, which entry of an address counts, and whose readiness is doubted."""

from __future__ import annotations

import json

import pytest
from kazoo.security import OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from model_plugins.discovery.announce import Options, Roster
from model_plugins.discovery.instances import Payload, ServedModel, ServiceInstance, decode, endpoint_of, usable
from model_plugins.discovery.readiness import Readiness, ServerView
from model_plugins.discovery.zookeeper_access import Access

CURATOR = (
    b'{"name":"m","id":"j1","address":"10.0.0.9","port":8001,"sslPort":null,'
    b'"payload":{"@class":"java.util.LinkedHashMap","weight":2.0,"zone":"eu-1","state":"ready"},'
    b'"registrationTimeUTC":1763700000000,"serviceType":"DYNAMIC","uriSpec":null}'
)
"""Written by JsonInstanceSerializer of curator-x-discovery 5.7.1 (compatible mode, its default) on Java 17."""

CURATOR_WITH_URI = (
    b'{"name":"m","id":"j1","address":"10.0.0.9","port":8001,"sslPort":8443,"payload":null,'
    b'"registrationTimeUTC":1763700000000,"serviceType":"PERMANENT","uriSpec":{"parts":['
    b'{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true}]}'
)


def test_what_curator_wrote_is_read() -> None:
    instance = decode(CURATOR)
    assert instance.payload is not None
    assert (instance.payload.weight, instance.payload.zone, instance.payload.fixed) == (2.0, "eu-1", False)
    endpoint = endpoint_of(instance)
    assert (endpoint.address, endpoint.registered, endpoint.state) == ("10.0.0.9:8001", 1763700000000, "ready")
    with_uri = decode(CURATOR_WITH_URI + b"}")
    assert (with_uri.ssl_port, with_uri.service_type, with_uri.payload) == (8443, "PERMANENT", None)
    assert endpoint_of(with_uri).weight == 1.0
    assert endpoint_of(decode(CURATOR[:-1] + b',"enabled":false}')).state == "draining"
    assert endpoint_of(decode(CURATOR[:-1] + b',"enabled":true}')).state == "ready"


def test_what_we_write_has_curators_fields_in_curators_order_and_no_others() -> None:
    """Its readers refuse unknown keys outside the payload; `enabled` is unknown to those before 5.0."""
    ours = ServiceInstance(name="m", id="a", address="h", port=1, payload=Payload())
    assert list(json.loads(ours.encode())) == list(json.loads(CURATOR))


def view(*models: str, doubtful: tuple[str, ...] = ()) -> ServerView:
    return ServerView(True, {name: ServedModel(("1",), 4) for name in models}, "triton", doubtful=frozenset(doubtful))


def test_a_node_is_never_rewritten_and_the_newest_counts() -> None:
    roster = Roster(Options(grpc=("h", 1), zookeeper=""), "server", lambda: 1.0)  # a clock that stands still
    first = roster.instances(view("a", "b"))
    assert [each.name for each in first] == ["a", "b"]
    assert roster.instances(view("a", "b")) == first
    more = roster.instances(view("a", "b", "c"))
    assert more[:2] == first
    draining = roster.instances(view("a", "b", "c"), "draining")
    assert not {each.id for each in draining} & {each.id for each in more}
    assert len({each.registration_time for each in [*more, *draining]}) == 6
    both = [endpoint_of(each) for each in [*more, *draining] if each.name == "a"]
    assert usable(both) == usable(both[::-1]) == ()
    assert [
        each.name
        for each in Roster(Options(grpc=("h", 1), zookeeper="", models=("b",)), "s", lambda: 1.0).instances(
            view("a", "b")
        )
    ] == ["b"]


def test_one_silent_model_is_given_patience_by_itself() -> None:
    readiness = Readiness(patience=3)
    looks = [view("a", "b"), *[view("a", doubtful=("b",))] * 3, view("a", "b"), view("a", doubtful=("b",)), view("a")]
    shown = ["".join(readiness.update(each).models) for each in looks]
    assert ["".join(sorted(each)) for each in shown] == ["ab", "ab", "ab", "a", "ab", "ab", "a"]


@pytest.mark.parametrize("readable", [True, False])
def test_whose_node_it_is(readable: bool) -> None:
    ours, others = Access("u", "p", readable), Access("u", "other")
    mine, theirs = ours.acl(), others.acl()
    assert mine is not None
    assert theirs is not None
    assert ours.owns(mine)
    assert not ours.owns(theirs)
    assert not ours.owns([*mine, *theirs]), "somebody else may write it, too"
    assert not ours.owns(OPEN_ACL_UNSAFE)
    assert not ours.owns(READ_ACL_UNSAFE), "nobody may write it: nor did we"
    assert Access().owns(OPEN_ACL_UNSAFE)
    assert Access().acl() is None
