"""Versions, cards, aliases and their history; what `add` accepts."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny_onnx
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from materials.errors import Permanent, UsageError
from model_plugins.library.library import Conflict, Library, before
from model_plugins.library.records import PRODUCTION, AliasChange, Card
from model_plugins.library.signature import Signature, TensorSpec, config_of, signature_of_config, signature_of_onnx
from model_plugins.library.source import read_source
from model_plugins.library.store import FolderStore

RUNNER = b"# runs model.onnx\n"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(FolderStore(tmp_path / "library"), now=lambda: "2026-01-02T03:04:05Z")


def add(library: Library, data: bytes | None = None, version: int | None = None, name: str = "picture") -> Card:
    data = data or tiny_onnx.random_projection(1)
    return library.add(
        name,
        {"model.onnx": data, "model.py": RUNNER},
        signature_of_onnx(data),
        backend="python",
        runtime="onnxruntime",
        training="a test",
        licence="MIT",
        version=version,
        added_by="tester",
    )


def test_a_card_says_what_the_version_is(library: Library) -> None:
    data = tiny_onnx.random_projection(7)
    card = add(library, data)
    assert (card.key, card.created, card.licence, card.training) == (
        "picture@1",
        "2026-01-02T03:04:05Z",
        "MIT",
        "a test",
    )
    assert card.signature == Signature(
        inputs=(TensorSpec("image", "UINT8", (8, 8, 3)),),
        outputs=(TensorSpec("embedding", "FP32", (16,)),),
        max_batch=8,
        opset=17,
    )
    onnx_file = next(each for each in card.files if each.path == "model.onnx")
    assert (onnx_file.sha256, onnx_file.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert library.card("picture", 1) == card
    assert library.files(card) == {"model.onnx": data, "model.py": RUNNER}


def test_the_layout_is_tritons(library: Library, tmp_path: Path) -> None:
    add(library)
    add(library)
    models = tmp_path / "library" / "models"
    found = sorted(path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file())
    versions = [f"picture/{version}/{file}" for version in (1, 2) for file in ("model.onnx", "model.py")]
    assert found == sorted([*versions, "picture/config.pbtxt"])
    config = text_format.Parse((models / "picture/config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert config.name == "picture"
    assert config.HasField("version_policy")
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    assert list(config.input[0].dims) == [8, 8, 3]


def test_a_version_is_never_overwritten(library: Library) -> None:
    first = add(library, version=3)
    with pytest.raises(UsageError, match=r"picture@3 is in the library.*never overwritten"):
        add(library, tiny_onnx.random_projection(2), version=3)
    assert library.card("picture", 3) == first
    assert add(library).version == 4
    assert library.versions("picture") == [3, 4]


def test_a_number_whose_addition_was_cut_off_is_not_used_again(library: Library, tmp_path: Path) -> None:
    add(library)
    add(library)
    (tmp_path / "library/cards/picture/2/card.json").unlink()
    assert library.versions("picture") == [1]
    with pytest.raises(UsageError, match="begun once and never finished"):
        add(library, version=2)
    assert add(library).version == 3


def test_two_who_add_at_once_get_two_versions(library: Library) -> None:
    with ThreadPoolExecutor(4) as pool:
        cards = list(pool.map(lambda seed: add(library, tiny_onnx.random_projection(seed)), range(8)))
    assert sorted(card.version for card in cards) == list(range(1, 9))
    for seed, card in enumerate(cards):
        assert library.files(card)["model.onnx"] == tiny_onnx.random_projection(seed)


def test_a_damaged_file_is_not_handed_out(library: Library, tmp_path: Path) -> None:
    card = add(library)
    path = tmp_path / "library/models/picture/1/model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(Permanent, match=r"picture@1 is damaged: model\.onnx"):
        library.files(card)
    path.unlink()
    with pytest.raises(Permanent, match="damaged"):
        library.files(card)


def test_versions_of_a_model_take_and_give_the_same(library: Library) -> None:
    add(library)
    with pytest.raises(UsageError, match="callers could not call it"):
        add(library, tiny_onnx.random_projection(1, width=32))
    assert library.versions("picture") == [1]


def test_unknown_versions_name_the_known_ones(library: Library) -> None:
    with pytest.raises(UsageError) as nothing:
        library.card("picture", 1)
    assert "sosie model add picture" in nothing.value.remedy
    add(library)
    with pytest.raises(UsageError) as other:
        library.card("picture", 9)
    assert other.value.remedy == "it has picture@1"


@pytest.mark.parametrize("name", ["", "Picture", "a/b", "../a", "-a", "a" * 65])
def test_names(library: Library, name: str) -> None:
    with pytest.raises(UsageError, match="not a model's name"):
        add(library, name=name)


def test_aliases_move_and_keep_their_history(library: Library) -> None:
    for _ in range(3):
        add(library)
    assert library.target("picture") == 0
    library.move("picture", 1, "promote", expected=0, by="ann")
    library.move("picture", 3, "promote", expected=1, by="ben", forced=True, reason="urgent")
    library.move("picture", 2, "promote", alias="canary", expected=0)
    assert library.aliases("picture") == {PRODUCTION: 3, "canary": 2}
    last = library.history("picture")[-1]
    assert (last.version, last.previous, last.by, last.forced, last.reason) == (3, 1, "ben", True, "urgent")


def test_an_alias_that_moved_meanwhile_is_not_moved(library: Library) -> None:
    add(library)
    add(library)
    library.move("picture", 1, "promote", expected=0)
    with pytest.raises(Conflict):
        library.move("picture", 2, "promote", expected=0)
    with pytest.raises(UsageError, match="picture@5"):
        library.move("picture", 5, "promote", expected=1)
    assert library.target("picture") == 1


def test_of_two_who_promote_at_once_one_wins(library: Library) -> None:
    for _ in range(5):
        add(library)
    library.move("picture", 1, "promote", expected=0)

    def promote(version: int) -> bool:
        try:
            library.move("picture", version, "promote", expected=1)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(promote, (2, 3, 4, 5)))
    assert sum(won) == 1
    assert library.target("picture") == 2 + won.index(True)


@pytest.mark.parametrize("alias", ["", "3", "Prod uction", "a/b"])
def test_alias_names(library: Library, alias: str) -> None:
    add(library)
    with pytest.raises(UsageError, match="not an alias"):
        library.move("picture", 1, "promote", alias=alias, expected=0)


@given(st.lists(st.one_of(st.integers(1, 5), st.just(0)), max_size=30))
def test_rollbacks_undo_promotions_one_by_one(steps: list[int]) -> None:
    """0 is a rollback where there is one to make; a promotion of what is there already is none."""
    moves: list[AliasChange] = []
    stack: list[int] = []
    for step in steps:
        target = before(moves)
        assert target == (stack[-2] if len(stack) > 1 else 0)
        if step == 0 and target:
            stack.pop()
        elif step and (not stack or stack[-1] != step):
            stack.append(step)
        else:
            continue
        action = "promote" if step else "rollback"
        moves.append(
            AliasChange(name="m", alias=PRODUCTION, version=stack[-1], previous=0, action=action, at="")  # type: ignore[arg-type]
        )


def test_sources(tmp_path: Path) -> None:
    data = tiny_onnx.random_projection(1)
    file = tmp_path / "export.onnx"
    file.write_bytes(data)
    assert read_source(file, RUNNER).files == {"model.onnx": data, "model.py": RUNNER}
    assert read_source(file, RUNNER, backend="onnxruntime", max_batch=32).files == {"model.onnx": data}
    folder = tmp_path / "triton" / "picture"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(data)
    (folder / "config.pbtxt").write_text(config_of("picture", signature_of_onnx(data, 4), "onnxruntime"))
    for path in (folder, folder / "1"):
        source = read_source(path, RUNNER)
        assert (source.backend, source.signature.max_batch, list(source.files)) == ("onnxruntime", 4, ["model.onnx"])


def test_a_folder_of_code_needs_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class TritonPythonModel: ...")
    with pytest.raises(UsageError, match=r"no config\.pbtxt"):
        read_source(tmp_path, RUNNER)
    signature = Signature(
        inputs=(TensorSpec("text", "BYTES", (1,)),), outputs=(TensorSpec("v", "FP32", (-1,)),), max_batch=2
    )
    (tmp_path / "config.pbtxt").write_text(config_of("m", signature, "python"))
    source = read_source(tmp_path, RUNNER)
    assert (source.signature, source.files["model.py"]) == (signature, b"class TritonPythonModel: ...")


def test_what_is_no_usable_model_is_refused(tmp_path: Path) -> None:
    data = tiny_onnx.random_projection(1)
    for content, why in (
        (b"not a model", "checker refuses"),
        (data[: len(data) // 2], "checker refuses"),
        (data.replace(b"MatMul", b"MatMuk"), "checker refuses"),
        (tiny_onnx.fixed_batch(), "batch axis"),
    ):
        path = tmp_path / "m.onnx"
        path.write_bytes(content)
        with pytest.raises(UsageError, match=why):
            read_source(path, RUNNER)
    with pytest.raises(UsageError, match="is not there"):
        read_source(tmp_path / "absent.onnx", RUNNER)


def test_a_configuration_that_contradicts_the_graph_is_refused(tmp_path: Path) -> None:
    data = tiny_onnx.random_projection(1)
    (tmp_path / "model.onnx").write_bytes(data)
    other = signature_of_onnx(tiny_onnx.random_projection(1, width=32))
    (tmp_path / "config.pbtxt").write_text(config_of("m", other, "python"))
    with pytest.raises(UsageError, match=r"config\.pbtxt says"):
        read_source(tmp_path, RUNNER)


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_onnx.random_projection(1))
    (folder / "labels.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match="leaves the folder"):
        read_source(folder, RUNNER)


def test_configurations_survive_the_way_there_and_back() -> None:
    signature = signature_of_onnx(tiny_onnx.random_projection(1), 32)
    read = signature_of_config(config_of("m", signature, "python", instances=2))
    assert read.same_tensors(signature)
    assert read.max_batch == 32
