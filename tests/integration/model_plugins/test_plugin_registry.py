"""The registry on a real ZooKeeper: who may write it, what is taken up how fast, and what happens when it is gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from model_servers import ZooKeeper, wait_until
from plugin_projects import WHEEL_NAME, project, wheel

from materials.errors import UsageError
from model_plugins.discovery.zookeeper_access import Access, AccessRefused
from model_plugins.library.store import FolderStore
from model_plugins.registry.acceptance import Acceptance
from model_plugins.registry.admin import PluginAdmin
from model_plugins.registry.allow import AllowFile
from model_plugins.registry.entries import BASE_PATH, PluginEntry
from model_plugins.registry.live import LiveRegistry, Snapshot
from model_plugins.registry.registering import register
from model_plugins.registry.signing import SigningKey
from model_plugins.registry.wheel_cache import WheelCache
from model_plugins.registry.wheel_store import LibraryWheels

OWNER = Access("owner", "a good secret")
STRANGER = Access("stranger", "another")
_log = logging.getLogger(__name__)


class Place:
    """A worker's machine: key, allow list, library and cache below one folder."""

    def __init__(self, folder: Path) -> None:
        self.key, _ = SigningKey.load_or_create(folder / "plugins.key")
        self.allow = AllowFile(folder / "plugins.allow")
        self.allow.add(self.key.public_text, "the author")
        self.library = folder / "library"
        self.store = LibraryWheels(FolderStore(self.library))
        self.acceptance = Acceptance(self.allow, self.store, WheelCache(folder / "cache"))

    def entry(self, name: str = "letters", version: int = 1, **change: Any) -> PluginEntry:
        """A signed record of a wheel in the store."""
        files = {f"{name}/__init__.py": f"VERSION = {version}\n"}
        data = wheel(files, entry_points=f"[sosie.plugins]\n{name} = {name}:Plugin\n")
        sha256 = self.store.put(data, WHEEL_NAME)
        target = f"{name}:Plugin"
        entry = PluginEntry(
            name=name, version=version, target=target, sha256=sha256, wheel=WHEEL_NAME, media="text", by="author"
        )
        signed = msgspec.structs.replace(entry, signature=self.key.sign(entry.signed_bytes), key_id=self.key.key_id)
        return msgspec.structs.replace(signed, **change)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """One for those tests that do not kill it."""
    shared = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    shared.start()
    try:
        yield shared
    finally:
        shared.kill()


@pytest.fixture
def hosts(server: ZooKeeper) -> str:
    """A root of its own for each test."""
    client = KazooClient(server.address)
    client.start()
    try:
        root = client.create("/test-", sequence=True)
    finally:
        client.stop()
        client.close()
    return f"{server.address}{root}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


@pytest.fixture
def live(hosts: str, place: Place) -> Iterator[LiveRegistry]:
    registry = LiveRegistry(hosts, place.acceptance, timeout=4.0, look_every=0.2)
    yield registry
    registry.close()


def assert_becomes(live: LiveRegistry, plugins: dict[str, int], refused: str = "", seconds: float = 10) -> Snapshot:
    """Exactly these are accepted, and one is refused with this reason."""

    def is_so(snapshot: Snapshot) -> bool:
        found = {name: plugin.version for name, plugin in snapshot.plugins.items()}
        return snapshot.known and found == plugins and refused in "; ".join(snapshot.refused.values())

    assert live.wait_until(is_so, seconds), live.snapshot()
    return live.snapshot()


def test_what_is_registered_is_taken_up_and_dropped_at_once(hosts: str, place: Place, live: LiveRegistry) -> None:
    assert_becomes(live, {})
    told: list[list[str]] = []
    end = live.subscribe(lambda: told.append(sorted(live.current())))
    with PluginAdmin(hosts) as admin:
        started = time.perf_counter()
        assert admin.register(place.entry()) == "registered"
        snapshot = assert_becomes(live, {"letters": 1})
        _log.info("taken up after %.0f ms", 1000 * (time.perf_counter() - started))
        source = snapshot.plugins["letters"].source
        assert (Path(source.path) / "letters" / "__init__.py").read_text() == "VERSION = 1\n"
        assert source.target == "letters:Plugin"
        admin.register(place.entry("digits", version=4))
        assert_becomes(live, {"letters": 1, "digits": 4})
        admin.set_enabled("letters", False)
        assert_becomes(live, {"digits": 4}, refused="disabled")
        admin.set_enabled("letters", True)
        assert_becomes(live, {"letters": 1, "digits": 4})
        assert admin.register(place.entry(version=2)) == "replaced"
        snapshot = assert_becomes(live, {"letters": 2, "digits": 4})
        assert snapshot.plugins["letters"].source != source
        end()
        started = time.perf_counter()
        admin.remove("letters")
        assert_becomes(live, {"digits": 4})
        _log.info("dropped after %.0f ms", 1000 * (time.perf_counter() - started))
    assert told[0] == ["letters"]
    assert told[-1] == ["digits", "letters"]


def test_a_burst_of_changes_ends_in_the_last_state(hosts: str, place: Place, live: LiveRegistry) -> None:
    with PluginAdmin(hosts) as admin:
        for version in range(1, 16):
            admin.register(place.entry("digits", version))
            admin.register(place.entry("letters", version))
            if version % 5 == 0:
                admin.remove("digits")
    assert_becomes(live, {"letters": 15})


def test_only_what_is_asked_for_is_looked_at(hosts: str, place: Place) -> None:
    with PluginAdmin(hosts) as admin:
        admin.register(place.entry())
        admin.register(place.entry("digits"))
    live = LiveRegistry(hosts, place.acceptance, ("digits", "missing"))
    try:
        assert assert_becomes(live, {"digits": 1}).refused == {}
    finally:
        live.close()


def test_losing_zookeeper_freezes_what_is_taken(quorum: ZooKeeper, place: Place) -> None:
    live = LiveRegistry(quorum.address, place.acceptance, timeout=4.0)
    try:
        with PluginAdmin(quorum.address) as admin:
            admin.register(place.entry())
            before = assert_becomes(live, {"letters": 1})
        told: list[int] = []
        live.subscribe(lambda: told.append(1))
        quorum.kill()
        wait_until(lambda: not live.snapshot().connected)
        assert live.current() == before.plugins
        quorum.start()
        with PluginAdmin(quorum.address, timeout=20) as admin:
            admin.register(place.entry("digits"))
        assert_becomes(live, {"letters": 1, "digits": 1}, seconds=20)
        wait_until(lambda: told)
        assert len(told) == 1  # the return itself was no change
    finally:
        live.close()


def test_strangers_cannot_write_what_an_owner_registered(hosts: str, place: Place, live: LiveRegistry) -> None:
    with PluginAdmin(hosts, OWNER) as admin:
        admin.register(place.entry())
    for access in (STRANGER, Access()):
        with PluginAdmin(hosts, access) as admin:
            for attempt in (
                lambda: admin.register(place.entry(version=2)),
                lambda: admin.register(place.entry("digits")),
                lambda: admin.set_enabled("letters", False),
                lambda: admin.remove("letters"),
            ):
                with pytest.raises(AccessRefused):
                    attempt()
            entries, unreadable = admin.entries()  # the world may read
            assert (list(entries), unreadable) == (["letters"], {})
    assert_becomes(live, {"letters": 1})
    with PluginAdmin(hosts, OWNER) as admin:
        assert admin.register(place.entry(version=2)) == "replaced"
        admin.remove("letters")
    assert_becomes(live, {})


def test_credentials_close_a_registry_that_stood_open(hosts: str, place: Place) -> None:
    with PluginAdmin(hosts) as admin:
        admin.register(place.entry())
    with PluginAdmin(hosts, OWNER) as admin:
        admin.register(place.entry(version=2))
    client = KazooClient(hosts)
    client.start()
    try:
        for attempt in (
            lambda: client.set(f"{BASE_PATH}/letters", b"evil"),
            lambda: client.delete(f"{BASE_PATH}/letters"),
            lambda: client.create(f"{BASE_PATH}/evil", b""),
        ):
            with pytest.raises(NoAuthError):
                attempt()
    finally:
        client.stop()
        client.close()


def test_what_is_not_allowed_is_refused_with_the_reason_and_never_fetched(
    hosts: str, place: Place, live: LiveRegistry, tmp_path: Path
) -> None:
    stranger, _ = SigningKey.load_or_create(tmp_path / "stranger.key")
    entry = place.entry()
    foreign = msgspec.structs.replace(entry, signature=stranger.sign(entry.signed_bytes), key_id=stranger.key_id)
    with PluginAdmin(hosts) as admin:
        admin.register(foreign)
        assert_becomes(live, {}, refused=f"neither the key {stranger.key_id}")
        assert not (tmp_path / "place" / "cache").exists()
        place.allow.add(stranger.public_text, "a new colleague")  # the list is looked at, too
        assert_becomes(live, {"letters": 1})
        place.allow.path.write_text("")
        assert_becomes(live, {}, refused=f"neither the key {stranger.key_id}")
        place.allow.path.write_text(f"sha256:{entry.sha256}\n")
        assert_becomes(live, {"letters": 1})


def test_what_cannot_be_loaded_here_is_refused_with_the_reason(hosts: str, place: Place, live: LiveRegistry) -> None:
    needy = wheel(metadata="Requires-Dist: no-such-package>=3\n")
    sha256 = place.store.put(needy, WHEEL_NAME)
    plain = place.entry()
    resigned = msgspec.structs.replace(plain, sha256=sha256)
    with PluginAdmin(hosts) as admin:
        admin.register(msgspec.structs.replace(resigned, signature=place.key.sign(resigned.signed_bytes)))
        assert_becomes(live, {}, refused="no-such-package>=3 (not installed)")
        admin.remove("letters")

        elsewhere = msgspec.structs.replace(plain, target="os.path:join")
        admin.register(msgspec.structs.replace(elsewhere, signature=place.key.sign(elsewhere.signed_bytes)))
        assert_becomes(live, {}, refused="does not offer letters = os.path:join")
        admin.remove("letters")

        kept = place.library / "wheels" / plain.sha256 / WHEEL_NAME
        data = kept.read_bytes()
        kept.unlink()
        (place.library.parent / "cache" / plain.sha256 / "wheel.whl").unlink()
        admin.register(plain)
        assert_becomes(live, {}, refused="has no wheel")
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(data)
        assert_becomes(live, {"letters": 1})  # looked for again without an event


def test_records_that_are_none_do_no_harm(hosts: str, place: Place, live: LiveRegistry) -> None:
    client = KazooClient(hosts)
    client.start()
    try:
        client.create(f"{BASE_PATH}/garbage", b"\xff\xfe", makepath=True)
        with PluginAdmin(hosts) as admin:
            admin.register(place.entry())
            assert_becomes(live, {"letters": 1}, refused="cannot be read")
            entries, unreadable = admin.entries()
            assert (list(entries), list(unreadable)) == (["letters"], ["garbage"])
            with pytest.raises(UsageError, match="cannot be read"):
                admin.set_enabled("garbage", True)
            assert admin.remove("garbage") is None
        assert live.wait_until(lambda snapshot: not snapshot.refused and list(snapshot.plugins) == ["letters"], 10)
    finally:
        client.stop()
        client.close()


def test_duplicates_are_errors_with_a_remedy(hosts: str, place: Place) -> None:
    with PluginAdmin(hosts) as admin:
        second = place.entry(version=2)
        admin.register(second)
        assert admin.register(second) == "unchanged"
        admin.set_enabled("letters", False)
        assert admin.register(second) == "replaced"  # to register is to enable
        with pytest.raises(UsageError, match=r"letters@2 is registered with another wheel \(.*by author") as caught:
            admin.register(msgspec.structs.replace(second, sha256="ab" * 32))
        assert "raise `version`" in caught.value.remedy
        with pytest.raises(UsageError, match="letters@1 is older") as caught:
            admin.register(place.entry())
        assert "sosie plugin remove letters" in caught.value.remedy
        with pytest.raises(UsageError, match="name of an installed plug-in"):
            admin.register(place.entry("image-embedding"))
        for name in ("nothing", "a/b", ".."):
            with pytest.raises(UsageError):
                admin.remove(name)


def test_where_no_zookeeper_answers() -> None:
    with pytest.raises(UsageError, match="no ZooKeeper answers"), PluginAdmin("127.0.0.1:1", timeout=1.0):
        pass


def test_from_a_project_folder_to_the_worker(hosts: str, place: Place, live: LiveRegistry, tmp_path: Path) -> None:
    def hand_in(folder: Path, admin: PluginAdmin, **options: Any) -> Any:
        return register(folder, admin, place.store, place.key, by="me", now=1.0, **options)

    with PluginAdmin(hosts) as admin:
        good = project(tmp_path / "good", "vowels", version=3, requires=("numpy>=2",))
        [done] = hand_in(good, admin)
        assert done.done == "registered"
        assert (done.entry.key, done.entry.media, done.entry.summary) == ("vowels@3", "text", "Letters of a text.")
        assert_becomes(live, {"vowels": 3})
        [again] = hand_in(good, admin)
        assert again.done == "unchanged"

        project(tmp_path / "good", "vowels", version=3, requires=("numpy>=2",), more="# changed")
        with pytest.raises(UsageError, match="with another wheel"):
            hand_in(good, admin)
        with pytest.raises(UsageError, match="calls itself 'other'"):
            hand_in(project(tmp_path / "named", "misnamed", manifest_name="other"), admin)
        with pytest.raises(UsageError, match=r"no-such-package.*not installed"):
            hand_in(project(tmp_path / "needy", "needy", requires=("no-such-package",)), admin)
        with pytest.raises(UsageError, match="RuntimeError: at import"):
            hand_in(project(tmp_path / "broken", "broken", more="raise RuntimeError('at import')"), admin)
        with pytest.raises(UsageError, match="installed plug-in"):
            hand_in(project(tmp_path / "taken", "image-pdq"), admin)
        with pytest.raises(UsageError, match="does not pass its check: too slow"):
            hand_in(project(tmp_path / "slow", "slow"), admin, check=lambda _source, _manifest: ["too slow"])
        assert list(admin.entries()[0]) == ["vowels"]
