"""Credentials against the real ZooKeeper: strangers cannot announce, and wrong credentials are loud."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import OPEN_ACL_UNSAFE
from model_servers import KServe, ZooKeeper, wait_until

from materials.errors import SosieError, UsageError
from model_plugins.discovery.announcer import Announcer
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.instances import Payload, ServedModel, ServiceInstance, service_path
from model_plugins.discovery.zookeeper_access import ENVIRONMENT, OPEN, Access

ROOT = Path(__file__).parents[3]
OURS, OTHERS = Access("sosie", "s3cret-pass"), Access("mallory", "guess")
PRIVATE = Access("sosie", "s3cret-pass", readable=False)


def instance(model: str, ident: str, port: int) -> ServiceInstance:
    payload = Payload(models={model: ServedModel(("1",), 8)}, fixed=True)
    return ServiceInstance(name=model, id=ident, address="127.0.0.1", port=port, payload=payload, registration_time=1)


@contextmanager
def raw(quorum: ZooKeeper, access: Access = OPEN) -> Iterator[KazooClient]:
    client = KazooClient(quorum.address, timeout=4.0, auth_data=access.auth_data)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


@contextmanager
def announced(quorum: ZooKeeper, access: Access, *instances: ServiceInstance) -> Iterator[Announcer]:
    announcer = Announcer(quorum.address, timeout=4.0, access=access)
    try:
        announcer.announce(instances)
        assert announcer.wait_settled(20)
        yield announcer
    finally:
        announcer.close()


@contextmanager
def watching(quorum: ZooKeeper, access: Access) -> Iterator[EndpointDirectory]:
    directory = EndpointDirectory(quorum.address, ["m"], timeout=4.0, grace=1.0, access=access)
    try:
        yield directory
    finally:
        directory.close()


def ports(directory: EndpointDirectory) -> list[str]:
    return [each.address.rpartition(":")[2] for each in directory.endpoints("m")]


def test_a_stranger_can_read_and_not_announce(quorum: ZooKeeper) -> None:
    mine = instance("m", "a", 8001)
    with announced(quorum, OURS, mine), raw(quorum) as stranger, watching(quorum, OPEN) as reader:
        assert reader.wait_for("m", 10), "readable by the world"
        forged = instance("m", "forged", 6666)
        for attempt in (
            lambda: stranger.create(forged.path, forged.encode(), ephemeral=True),
            lambda: stranger.create("/sosie/services/n", b""),
            lambda: stranger.set(mine.path, forged.encode()),
            lambda: stranger.delete(mine.path),
            lambda: stranger.set_acls(service_path("m"), OPEN_ACL_UNSAFE),
            lambda: stranger.delete("/sosie/services", recursive=True),
        ):
            with pytest.raises(NoAuthError):
                attempt()
        stranger.create("/sosie/plugins", b"")  # other parts have folders of their own beside ours
        assert ports(reader) == ["8001"]


def test_the_announcer_of_a_stranger_is_told_so(quorum: ZooKeeper) -> None:
    with announced(quorum, OURS, instance("m", "a", 8001)):
        for wrong in (OTHERS, OPEN):
            announcer = Announcer(quorum.address, timeout=4.0, access=wrong)
            try:
                announcer.announce([instance("m", "b", 8002)])
                with pytest.raises(SosieError, match="refuses us") as told:
                    announcer.wait_settled(20)
            finally:
                announcer.close()
            assert "guess" not in str(told.value)
            assert ENVIRONMENT in told.value.remedy  # type: ignore[attr-defined]


def test_private_entries_and_their_readers(quorum: ZooKeeper) -> None:
    with announced(quorum, PRIVATE, instance("m", "a", 8001)):
        with watching(quorum, PRIVATE) as ours:
            assert ours.wait_for("m", 10)
        for wrong in (OTHERS, OPEN):
            with watching(quorum, wrong) as reader:
                with pytest.raises(SosieError, match="may not be read"):
                    reader.wait_for("m", 20)
                assert "may not be read" in reader.where("m")


def test_open_folders_are_closed_and_what_strangers_left_in_them_is_ignored(quorum: ZooKeeper) -> None:
    forged = instance("m", "forged", 6666)
    with raw(quorum) as stranger:
        stranger.create(forged.path, forged.encode(), ephemeral=True, makepath=True)
        with watching(quorum, OURS) as alone, pytest.raises(SosieError, match="none of the instances"):
            alone.wait_for("m", 20)
        with announced(quorum, OURS, instance("m", "a", 8001)), watching(quorum, OURS) as directory:
            assert directory.wait_for("m", 20)
            assert ports(directory) == ["8001"]
            with pytest.raises(NoAuthError):
                stranger.create(instance("m", "late", 6667).path, b"", ephemeral=True)


def test_a_reader_with_wrong_credentials_keeps_its_list_and_says_so(quorum: ZooKeeper) -> None:
    """Every password is a valid one for ZooKeeper: that nothing is ours must not pass for `nobody serves it`."""
    with announced(quorum, OURS, instance("m", "a", 8001)), watching(quorum, OTHERS) as wrong:
        with pytest.raises(SosieError, match="none of the instances in /sosie/services/m belongs to user 'mallory'"):
            wrong.wait_for("m", 20)
        assert wrong.endpoints("m") == ()
    with watching(quorum, OURS) as directory, announced(quorum, OURS, instance("m", "a", 8001)) as announcer:
        assert directory.wait_for("m", 10)
        with raw(quorum, OURS) as owner:
            owner.set_acls(service_path("m"), OTHERS.acl())
        announcer.announce([instance("m", "a", 8001), instance("m", "b", 8002)])
        with pytest.raises(SosieError, match="refuses us"):
            announcer.wait_settled(20)
        assert ports(directory) == ["8001"], "what is known stays"


def test_authentication_that_fails_outright_is_loud(quorum: ZooKeeper) -> None:
    """A scheme that the server does not have: it closes the session, which kazoo would not open again by itself."""

    class Unknown(Access):
        @property
        def auth_data(self) -> list[tuple[str, str]]:
            return [("no-such-scheme", "x")]

    with watching(quorum, Unknown("u", "p")) as directory, pytest.raises(SosieError, match="authentication failed"):
        directory.wait_for("m", 20)


def test_a_persistent_node_that_calls_itself_dynamic_is_not_trusted(quorum: ZooKeeper) -> None:
    with raw(quorum) as client, watching(quorum, OPEN) as directory:
        zombie = instance("m", "zombie", 6666)
        client.create(zombie.path, zombie.encode(), makepath=True)
        live = instance("m", "a", 8001)
        client.create(live.path, live.encode(), ephemeral=True)
        assert directory.wait_for("m", 10)
        assert ports(directory) == ["8001"]


def test_no_log_shows_the_password(quorum: ZooKeeper, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1), announced(quorum, OURS, instance("m", "a", 8001)):
        pass
    assert "Auth" in caplog.text, "kazoo does log its requests"
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(OURS)
    logging.getLogger("kazoo").setLevel(logging.NOTSET)


@pytest.mark.parametrize("content", ["", "nobody", "user:", ":password", "user:pass\nother:line"])
def test_files_that_hold_no_credentials(tmp_path: Path, content: str) -> None:
    file = tmp_path / "auth"
    file.write_text(content)
    with pytest.raises(UsageError, match="does not hold"):
        Access.find(file, {})
    with pytest.raises(UsageError, match="cannot be read"):
        Access.find(tmp_path / "none", {})


def test_credentials_by_option_and_by_environment(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("sosie:a:b\n")
    assert Access.find(file, {}).auth_data == [("digest", "sosie:a:b")]
    assert Access.find(None, {ENVIRONMENT: str(file)}).user == "sosie"
    assert Access.find(None, {}).auth_data == []


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_command_with_credentials(
    quorum: ZooKeeper, kserve: Callable[..., KServe], tmp_path: Path, by: str
) -> None:
    server = kserve("m")
    file = tmp_path / "auth"
    file.write_text("sosie:s3cret-pass\n")
    file.chmod(0o600)
    command = [sys.executable, "-m", "model_plugins.discovery.announce", "--triton-grpc", server.address]
    command += ["--zookeeper", quorum.address, "--interval", "0.05"]
    command += ["--zookeeper-auth-file", str(file)] if by == "option" else []
    environment = {**os.environ, **({ENVIRONMENT: str(file)} if by == "environment" else {})}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        with watching(quorum, OURS) as directory:
            assert [each.address for each in directory.wait_for("m", 20)] == [server.address]
        wrong = tmp_path / "wrong"
        wrong.write_text("mallory:guess")
        refused = subprocess.run(
            [*command, "--zookeeper-auth-file", str(wrong)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert refused.returncode == 2, refused.stdout
        assert "refuses us" in refused.stdout + refused.stderr
        assert "guess" not in refused.stdout + refused.stderr
    finally:
        process.terminate()
        assert process.wait(15) == 0
    wait_until(lambda: process.poll() is not None)
