"""A model's life on a real Triton: added, verified, deployed, promoted, rolled back; a worse one is refused."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from structlog.testing import capture_logs
from typer.testing import CliRunner

from deploy import stack
from deploy.addresses import Addresses, GivenAddresses
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.library.deployment import Place, deploy
from model_plugins.library.live_aliases import AliasWatcher
from model_plugins.library.servers import ModelServer
from model_plugins.recipes.build import WEIGHTS, default_cache, read_weights
from model_plugins.recipes.efficientnet_lite import build_model
from model_plugins.recipes.embedding_head import EmbeddingHead, load_head
from model_plugins.recipes.index_file import fetch
from model_plugins.recipes.torch_pickle import read_state_dict
from pipeline import model_operations as operations
from pipeline.cli import models
from pipeline.model_golden import demo_photos, write_golden

NAME = "image-embedding"
IMAGES = np.random.default_rng(5).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)


class Desk:
    """A running system of this file's own (a version that is deployed would show in other tests), and `sosie model`."""

    def __init__(self, state: Path, addresses: Addresses) -> None:
        self.state, self.addresses = state, addresses
        self._app = typer.Typer()
        models.register(self._app)
        self._app.command("unused")(lambda: None)

    def __call__(self, *arguments: object, code: int = 0) -> Any:
        command = ["model", *map(str, arguments), "--state", str(self.state), "--json"]
        with capture_logs():  # which the command line sends to standard error
            done = CliRunner().invoke(self._app, command, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    def call(self, version: int) -> NDArray[Any]:
        """What a version makes of the images, on the stack's own server."""
        card = operations.library_of(self.state).card(NAME, version)
        with ModelServer(self.addresses.triton) as server:
            return server.infer(NAME, version, card.signature, {"image": IMAGES})["embedding"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    state = tmp_path_factory.mktemp("library")
    addresses = stack.up(state, GivenAddresses())
    try:
        yield Desk(state, addresses)
    finally:
        stack.down(state)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`turned`: the shipped head in other coordinates, exactly as good; `worse`: the shipped head under noise."""
    head, rng = load_head(), np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(256, 256)))[0].astype(np.float32)
    noise = rng.normal(0, 8 * float(head.weight.std()), head.weight.shape).astype(np.float32)
    state = read_state_dict(read_weights(fetch(WEIGHTS, default_cache() / "packages")))
    folder = tmp_path_factory.mktemp("models")
    for name, weight in {"turned": head.weight @ turn, "worse": head.weight + noise}.items():
        model = build_model(state, EmbeddingHead(head.mean, weight.astype(np.float32)))
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return {path.stem: path for path in folder.glob("*.onnx")}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = demo_photos()
    folder = tmp_path_factory.mktemp("golden")
    write_golden(folder, {name: photos[name] for name in sorted(photos)[::4]}, queries=3)
    return folder


@pytest.fixture
def callers(desk: Desk) -> Iterator[Counter[str]]:
    """Somebody calls version 1 all the time; counts answers and errors."""
    stop, counts = threading.Event(), Counter[str]()
    card = operations.library_of(desk.state)

    def call() -> None:
        with ModelServer(desk.addresses.triton) as server:
            while not stop.is_set():
                try:
                    server.infer(NAME, 1, card.card(NAME, 1).signature, {"image": IMAGES[:1]})
                    counts["answers"] += 1
                except Exception as error:
                    counts[f"error: {error}"] += 1

    thread = threading.Thread(target=call)
    thread.start()
    yield counts
    stop.set()
    thread.join()


def figures(verification: Any) -> dict[str, Any]:
    return {each["name"]: each for each in verification["figures"]}


def test_added_versions_follow_the_shipped_one(desk: Desk, variants: dict[str, Path]) -> None:
    card = desk("add", NAME, variants["turned"], "--licence", "Apache-2.0", "--training", "a rotation")
    assert (card["version"], card["training"]) == (2, "a rotation")
    assert desk("add", NAME, variants["worse"])["version"] == 3
    rows = desk("list")
    assert [(row["version"], row["aliases"]) for row in rows] == [(1, ["production"]), (2, []), (3, [])]


def test_verification_tells_a_good_version_from_a_worse_one(desk: Desk, golden: Path) -> None:
    directory = EndpointDirectory(desk.addresses.zookeeper, [NAME])
    assert directory.wait_for(NAME, 10)
    seen = [directory.endpoints(NAME)]
    directory.subscribe(lambda model: seen.append(directory.endpoints(model)))
    good = desk("verify", f"{NAME}@2", "--golden", golden)
    assert good["passed"]
    assert (good["baseline"], good["references"]) == (1, 12)
    assert abs(good["agreement"]) < 0.5
    assert figures(good)["μAP"]["candidate"] == pytest.approx(figures(good)["μAP"]["baseline"], abs=1e-3)
    worse = desk("verify", f"{NAME}@3", "--golden", golden, code=1)
    assert not worse["passed"]
    assert figures(worse)["separation"]["candidate"] < figures(worse)["separation"]["limit"]
    with ModelServer(desk.addresses.triton) as server:
        assert server.ready_versions(NAME) == (1,), "callers must not meet what is being verified"
    directory.close()
    assert all(seen), "the model stays announced while others are loaded and unloaded"


def test_a_version_that_is_not_served_is_not_promoted(desk: Desk) -> None:
    refused = desk("promote", f"{NAME}@2", code=1)["refused"]
    assert refused == [f"{NAME}@2 is not announced by {desk.addresses.triton}: sosie model deploy {NAME}@2"]


def test_versions_are_deployed_side_by_side_while_calls_go_on(desk: Desk, callers: Counter[str]) -> None:
    before = desk.call(1)
    for version in (2, 3):
        [server] = desk("deploy", f"{NAME}@{version}")["servers"]
        assert (server["how"], server["error"]) == ("folder", "")
    assert server["versions"] == [1, 2, 3]
    assert desk.call(1).tobytes() == before.tobytes()
    assert desk.call(2).tobytes() != before.tobytes()
    assert set(callers) == {"answers"}
    assert callers["answers"] > 10


def test_a_worse_version_is_refused_with_its_figures(desk: Desk) -> None:
    refusal = desk("promote", f"{NAME}@3", code=1)
    failed = [each for each in refusal["verification"]["figures"] if not each["passed"]]
    assert failed
    for figure, reason in zip(failed, refusal["refused"], strict=True):
        shown = f"{figure['name']} is {figure['candidate']:.4f}, below the limit {figure['limit']:.4f}"
        assert reason == f"{shown} ({NAME}@1 has {figure['baseline']:.4f})"
    assert desk("list")[0]["aliases"] == ["production"]


def test_promotion_moves_the_workers_and_rollback_restores_the_old_results(desk: Desk) -> None:
    watcher = AliasWatcher(desk.addresses.zookeeper)
    try:
        assert watcher.wait_for(NAME, "1", 10), "deploy has told the workers which version is meant"
        old = desk.call(int(watcher.version(NAME) or 0))
        change = desk("promote", f"{NAME}@2")
        assert (change["version"], change["previous"], change["forced"]) == (2, 1, False)
        assert watcher.wait_for(NAME, "2", 10)
        new = desk.call(int(watcher.version(NAME) or 0))
        assert new.tobytes() != old.tobytes()
        assert desk("rollback", NAME, "--reason", "as a test")["version"] == 1
        assert watcher.wait_for(NAME, "1", 10)
        assert desk.call(int(watcher.version(NAME) or 0)).tobytes() == old.tobytes()
    finally:
        watcher.close()


def test_force_is_a_persons_and_is_kept(desk: Desk) -> None:
    change = desk("promote", f"{NAME}@3", "--force", "--reason", "to see")
    assert change["forced"]
    assert change["reason"].startswith("to see; overruled: ")
    assert "separation is " in change["reason"]
    assert desk("rollback", NAME)["version"] == 1


def test_a_server_without_our_folder_gets_the_files_and_one_that_is_down_is_named(
    desk: Desk, variants: dict[str, Path]
) -> None:
    assert desk("add", NAME, variants["turned"])["version"] == 4
    library = operations.library_of(desk.state)
    places = [Place(address="127.0.0.1:9"), Place(address=desk.addresses.triton)]
    down, up = deploy(library, library.card(NAME, 4), places)
    assert (down.address, down.versions) == ("127.0.0.1:9", ())
    assert "127.0.0.1:9" in down.error
    assert (up.error, up.how, up.versions) == ("", "inline", (1, 2, 3, 4))
    assert desk.call(4).tobytes() == desk.call(2).tobytes()


def test_deployed_versions_are_there_after_a_restart(desk: Desk) -> None:
    before = desk.call(2)
    stack.down(desk.state)
    desk.addresses = stack.up(desk.state, GivenAddresses())
    assert desk.call(2).tobytes() == before.tobytes()
    rows = {row["version"]: row for row in desk("list")}
    assert rows[1]["live"] == ["production"]
    assert [version for version, row in rows.items() if row["servers"]] == [1, 2, 3], "inline ones end with the server"
