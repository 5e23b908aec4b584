"""Announcing and finding, against a real ZooKeeper that dies, forgets and comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kazoo.client import KazooClient
from model_servers import ZooKeeper, wait_until

from model_plugins.discovery.announcer import Announcer
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.instances import BASE_PATH, Payload, ServedModel, ServiceInstance, State, service_path

SESSION = 2.0
"""Seconds that the clients ask for; the server grants its own minimum, two ticks of two seconds."""


def instance(model: str, ident: str, port: int = 8001, registered: int = 1, state: State = "ready") -> ServiceInstance:
    payload = Payload(models={model: ServedModel(versions=("1",), max_batch=8)}, device="cpu", state=state)
    return ServiceInstance(
        name=model, id=ident, address="127.0.0.1", port=port, payload=payload, registration_time=registered
    )


def addresses(directory: EndpointDirectory, model: str = "m") -> list[str]:
    return [each.address for each in directory.endpoints(model)]


@contextmanager
def raw(quorum: ZooKeeper) -> Iterator[KazooClient]:
    client = KazooClient(quorum.address, timeout=SESSION)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


@pytest.fixture
def directory(quorum: ZooKeeper) -> Iterator[EndpointDirectory]:
    made = EndpointDirectory(quorum.address, timeout=SESSION, grace=2.0)
    yield made
    made.close()


@pytest.fixture
def announcer(quorum: ZooKeeper) -> Iterator[Announcer]:
    made = Announcer(quorum.address, timeout=SESSION)
    yield made
    made.close()


def test_announced_found_changed_and_withdrawn(
    quorum: ZooKeeper, directory: EndpointDirectory, announcer: Announcer
) -> None:
    heard: list[str] = []
    directory.subscribe(heard.append)
    assert directory.endpoints("m") == ()  # also starts the watch, on a folder that nobody has made yet
    wait_until(lambda: directory.connected)
    announcer.announce([instance("m", "a", 8001), instance("other", "a", 8001)])
    [endpoint] = directory.wait_for("m", 10)
    assert (endpoint.address, endpoint.versions, endpoint.max_batch) == ("127.0.0.1:8001", ("1",), 8)
    wait_until(lambda: heard == ["m"], what="who subscribed hears of it, once")

    announcer.announce([instance("m", "a", 8001), instance("m", "b", 8002)])
    assert len(directory.wait_for("m", 10, at_least=2)) == 2

    announcer.announce([instance("m", "a", 8001, state="draining"), instance("m", "b", 8002)])
    wait_until(lambda: addresses(directory) == ["127.0.0.1:8002"], what="a draining server takes no work")

    announcer.announce([])
    wait_until(lambda: addresses(directory) == [], what="withdrawn")
    assert announcer.wait_settled(10)
    assert announcer.announced() == frozenset()


def test_nodes_are_as_curator_lays_them_out(quorum: ZooKeeper, announcer: Announcer) -> None:
    announcer.announce([instance("m", "0f8c", 8001, registered=1763700000000)])
    assert announcer.wait_settled(10)
    with raw(quorum) as client:
        data, stat = client.get(f"{BASE_PATH}/m/0f8c")
    assert stat.ephemeralOwner == announcer.session_id
    fields = json.loads(data)
    assert fields["payload"].pop("models") == {"m": {"versions": ["1"], "max_batch": 8}}
    assert fields == {
        "name": "m",
        "id": "0f8c",
        "address": "127.0.0.1",
        "port": 8001,
        "sslPort": None,
        "registrationTimeUTC": 1763700000000,
        "serviceType": "DYNAMIC",
        "uriSpec": None,
        "payload": {
            "http_port": 0,
            "weight": 1.0,
            "device": "cpu",
            "zone": "",
            "build": "",
            "state": "ready",
            "fixed": False,
        },
    }


def test_what_others_write_is_read_and_nonsense_is_passed_over(quorum: ZooKeeper, directory: EndpointDirectory) -> None:
    with raw(quorum) as client:
        written_by_java = {"name": "m", "id": "j", "address": "10.0.0.9", "port": 8001, "sslPort": None}
        written_by_java |= {"payload": {"@class": "java.util.LinkedHashMap"}, "enabled": True}
        client.create(f"{service_path('m')}/j", json.dumps(written_by_java).encode(), ephemeral=True, makepath=True)
        client.create(f"{service_path('m')}/x", b"not json", ephemeral=True)
        assert [each.address for each in directory.wait_for("m", 10)] == ["10.0.0.9:8001"]
        client.set(f"{service_path('m')}/x", instance("m", "x", 8002).encode())
        wait_until(lambda: addresses(directory) == ["10.0.0.9:8001", "127.0.0.1:8002"], what="repaired in place")


def test_the_newest_entry_of_an_address_counts(quorum: ZooKeeper, directory: EndpointDirectory) -> None:
    with raw(quorum) as client:
        for ident, registered, state in (("old", 1, "ready"), ("new", 2, "draining")):
            node = instance("m", ident, 8001, registered, state)  # type: ignore[arg-type]
            client.create(node.path, node.encode(), ephemeral=True, makepath=True)
        live = instance("m", "live", 8002)
        client.create(live.path, live.encode(), ephemeral=True)
        wait_until(lambda: addresses(directory) == ["127.0.0.1:8002"])


def test_a_zombie_of_an_older_session_is_replaced(quorum: ZooKeeper, announcer: Announcer) -> None:
    mine = instance("m", "a")
    with raw(quorum) as older:
        older.create(mine.path, b"left behind", ephemeral=True, makepath=True)
        announcer.announce([mine])
        wait_until(lambda: announcer.wait_settled(1) and announcer.announced() == {mine.path})
        data, stat = older.get(mine.path)
        assert stat.ephemeralOwner == announcer.session_id
        assert data == mine.encode()


def test_a_dead_zookeeper_freezes_the_list(
    quorum: ZooKeeper, directory: EndpointDirectory, announcer: Announcer
) -> None:
    announcer.announce([instance("m", "a", 8001)])
    assert directory.wait_for("m", 10)
    quorum.kill()
    wait_until(lambda: not directory.connected and not announcer.connected, what="both notice")
    assert addresses(directory) == ["127.0.0.1:8001"]
    assert "does not answer" in directory.where("m")

    announcer.announce([instance("m", "a", 8001), instance("m", "b", 8002)])  # meanwhile, a second one
    quorum.start()
    assert len(directory.wait_for("m", 20, at_least=2)) == 2
    wait_until(lambda: directory.connected)


def test_a_zookeeper_that_forgot_all_never_empties_the_list(
    quorum: ZooKeeper, directory: EndpointDirectory, announcer: Announcer
) -> None:
    """Sessions are gone, too: everything is announced again, and what was not has left the list after the grace."""
    announcer.announce([instance("m", "a", 8001)])
    with raw(quorum) as doomed:
        gone = instance("m", "b", 8002)
        doomed.create(gone.path, gone.encode(), ephemeral=True, makepath=True)
        assert len(directory.wait_for("m", 10, at_least=2)) == 2
        lengths: list[int] = []
        directory.subscribe(lambda model: lengths.append(len(directory.endpoints(model))))
        before = announcer.session_id
        quorum.kill()
        quorum.forget()
        quorum.start()
        wait_until(lambda: announcer.connected and announcer.session_id not in (None, before), what="a new session")
    wait_until(lambda: directory.connected)
    with raw(quorum) as client:
        wait_until(lambda: client.exists(instance("m", "a").path), what="announced again")
        assert client.exists(instance("m", "a").path).ephemeralOwner == announcer.session_id
    wait_until(lambda: addresses(directory) == ["127.0.0.1:8001"], what="what nobody announces any more has left")
    assert lengths == [1]


def test_an_expired_session_is_replaced(quorum: ZooKeeper, directory: EndpointDirectory, announcer: Announcer) -> None:
    announcer.announce([instance("m", "a")])
    assert directory.wait_for("m", 10)
    first = announcer.session_id
    client = announcer._session._client
    with raw(quorum) as thief:
        # a client that resumes our session and closes it: the server expires it, exactly as after a long pause
        twin = KazooClient(quorum.address, timeout=SESSION, client_id=client.client_id)
        twin.start()
        twin.stop()
        twin.close()

        def ours() -> bool:
            stat = thief.exists(instance("m", "a").path)
            return stat is not None and stat.ephemeralOwner == announcer.session_id != first

        wait_until(ours, 10, "announced again under the new session")
    wait_until(lambda: addresses(directory) == ["127.0.0.1:8001"])


def test_closing_withdraws_at_once(quorum: ZooKeeper, directory: EndpointDirectory) -> None:
    short_lived = Announcer(quorum.address, timeout=30.0)
    short_lived.announce([instance("m", "a")])
    assert directory.wait_for("m", 10)
    short_lived.close()
    short_lived.close()
    wait_until(lambda: addresses(directory) == [], 3, "long before its session would have expired")


def test_closing_without_a_zookeeper_is_quick(quorum: ZooKeeper) -> None:
    announcer = Announcer(quorum.address, timeout=30.0)
    directory = EndpointDirectory(quorum.address, ["m"], timeout=30.0)
    announcer.announce([instance("m", "a")])
    assert directory.wait_for("m", 10)
    quorum.kill()
    wait_until(lambda: not directory.connected and not announcer.connected)
    started = time.monotonic()
    announcer.close()
    directory.close()
    assert time.monotonic() - started < 5
    assert [each.address for each in directory.endpoints("m")] == ["127.0.0.1:8001"]
