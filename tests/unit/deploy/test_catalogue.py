from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import stack
from deploy.addresses import FixedPorts, GivenAddresses
from deploy.keeper import backoff_seconds
from deploy.parts import gateway, retry_pump, valkey, zookeeper
from deploy.parts.catalogue import ALL, parts_to_start, stop_layers
from deploy.parts.part import Launch, Site
from materials.errors import UsageError


def names(given: GivenAddresses) -> list[str]:
    return [part.name for part in parts_to_start(given)]


def test_everything_is_started_when_nothing_is_given() -> None:
    assert names(GivenAddresses()) == ["zookeeper", "redis", "index", "triton", "announcer", "gateway", "retry-pump"]


def test_a_given_part_is_not_started() -> None:
    given = GivenAddresses(redis="redis://a:1/0", index="b:2")
    assert names(given) == ["zookeeper", "triton", "announcer", "retry-pump"]


def test_a_given_model_server_is_announced_in_our_zookeeper() -> None:
    assert names(GivenAddresses(triton="t:1")) == ["zookeeper", "redis", "index", "announcer", "gateway", "retry-pump"]


def test_nothing_is_announced_where_both_are_given() -> None:
    assert names(GivenAddresses(triton="t:1", zookeeper="z:1")) == ["redis", "index", "gateway", "retry-pump"]


def test_no_pump_stands_alone() -> None:
    assert names(GivenAddresses(zookeeper="z:1", redis="redis://a:1/0", index="b:2", triton="t:1")) == []


def test_a_part_is_stopped_before_what_it_stands_on() -> None:
    layers = [[part.name for part in layer] for layer in stop_layers(list(ALL))]
    place = {name: number for number, layer in enumerate(layers) for name in layer}
    assert set(place) == {part.name for part in ALL}
    assert place["announcer"] < place["triton"]
    assert place["announcer"] < place["zookeeper"]


def test_backoff_grows_and_is_bounded() -> None:
    waits = [backoff_seconds(failures) for failures in range(1, 40)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits == sorted(waits)
    assert waits[-1] == 10.0


def test_each_server_listens_on_the_loopback_interface_only(tmp_path: Path) -> None:
    site = Site(tmp_path, {"zookeeper": {"client": 12345}, "redis": {"client": 12346}})
    zookeeper.PART.launch(site)
    configuration = dict(line.split("=", 1) for line in (tmp_path / "zookeeper" / "zoo.cfg").read_text().splitlines())
    assert configuration["clientPortAddress"] == "127.0.0.1"
    assert configuration["clientPort"] == "12345"
    argv = valkey.PART.launch(site).argv
    assert argv[argv.index("--bind") + 1] == "127.0.0.1"
    assert argv[argv.index("--appendfsync") + 1] == "always"


def test_a_fixed_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    given = GivenAddresses(triton="t:1")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} for redis is taken"):
            stack.refuse_taken_ports(stack.load(tmp_path), FixedPorts(redis=port), parts_to_start(given))


def test_an_unreachable_given_part_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        stack.up(tmp_path, GivenAddresses(redis="redis://127.0.0.1:1/0"))
    assert "redis at redis://127.0.0.1:1/0 is unreachable" in caught.value.message
    assert "\n" not in caught.value.message
    assert "SOSIE_REDIS" in caught.value.remedy


def test_a_state_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        stack.up(tmp_path / "file" / "state", GivenAddresses())


@pytest.mark.parametrize("launch", [retry_pump.launch, gateway.launch])
def test_a_password_of_redis_stands_in_no_command_line(tmp_path: Path, launch: Callable[[Site], Launch]) -> None:
    given = GivenAddresses(redis="redis://:hunter2@r:1/0", zookeeper="z:1")
    site = Site(tmp_path, {"index": {"grpc": 1}, "gateway": {"http": 2}}, given)
    started = launch(site)
    assert not any("hunter2" in word for word in started.argv)
    assert started.environment["SOSIE_REDIS"] == "redis://:hunter2@r:1/0"
