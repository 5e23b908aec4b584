"""Wheels of strangers: what is refused and why, and that nothing is written outside, nor believed unseen."""

from __future__ import annotations

import importlib.metadata
import io
import os
import zipfile
from pathlib import Path

import pytest
from plugin_projects import WHEEL_NAME, project, wheel

from materials.errors import UsageError
from model_plugins.library.store import FolderStore
from model_plugins.registry import wheels
from model_plugins.registry.wheel_build import wheel_of
from model_plugins.registry.wheel_cache import WheelCache
from model_plugins.registry.wheel_store import LibraryWheels, WheelMissing
from model_plugins.registry.wheels import WheelRefused, missing_requirements, read_wheel, sha256_of, unpack


def test_what_a_wheel_says_of_itself() -> None:
    data = wheel(metadata="Requires-Dist: numpy>=2\nRequires-Dist: torch; extra == 'gpu'\nRequires-Python: >=3.11\n")
    info = read_wheel(data, WHEEL_NAME)
    assert (info.distribution, info.version) == ("letters", "1.0")
    assert info.targets == {"letters": "letters:Plugin"}
    assert info.sha256 == sha256_of(data)
    assert missing_requirements(info.requires) == []


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (b"PK not a zip", WHEEL_NAME, "is not a wheel"),
        (wheel(), "letters.whl", "not named as a wheel"),
        (wheel(), "letters-1.0-cp39-cp39-win_amd64.whl", "not for this Python"),
        (wheel(), "other-1.0-py3-none-any.whl", "calls itself 'letters'"),
        (wheel(entry_points=""), WHEEL_NAME, "has no plug-in"),
        (wheel(entry_points="[console_scripts]\nx = y:z\n"), WHEEL_NAME, "has no plug-in"),
        (wheel(entry_points="no section"), WHEEL_NAME, "cannot be read"),
        (wheel(metadata="Requires-Python: >=3.99\n"), WHEEL_NAME, "needs Python >=3.99"),
        (wheel(metadata="Requires-Python: three\n"), WHEEL_NAME, "strange Python"),
        (wheel({"materials/errors.py": ""}), WHEEL_NAME, "module 'materials'"),
        (wheel({"json.py": ""}), WHEEL_NAME, "module 'json'"),
        (wheel({"x-1.dist-info/METADATA": ""}), WHEEL_NAME, "2 METADATA files"),
    ],
)
def test_a_wheel_that_cannot_be_loaded_is_refused(data: bytes, name: str, told: str) -> None:
    with pytest.raises(WheelRefused, match=told) as caught:
        read_wheel(data, name)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../evil.py", "leads out"),
        ("letters/../../evil.py", "leads out"),
        ("/tmp/evil.py", "leads out"),
        ("letters//evil.py", "leads out"),
        ("./evil.py", "leads out"),
        ("letters\\..\\evil.py", "leads out"),
        ("C:evil.py", "leads out"),
        ("letters-1.0.data/scripts/evil", "beside its package"),
        ("LETTERS/__init__.py", "twice"),
    ],
)
def test_a_wheel_that_would_write_elsewhere_writes_nothing(path: str, told: str, tmp_path: Path) -> None:
    data = wheel({path: "evil"})
    with pytest.raises(WheelRefused, match=told):
        read_wheel(data, WHEEL_NAME)
    with pytest.raises(WheelRefused, match=told):
        unpack(data, tmp_path / "a" / "b")
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_wheel_with_a_link_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelRefused, match="holds a link"):
        unpack(wheel(links=("letters/passwd",)), tmp_path / "tree")


def test_sizes_are_counted_and_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_UNPACKED", 100_000)
    bomb = wheel({"letters/zeros.bin": "\0" * 200_000})
    with pytest.raises(WheelRefused, match="unpacks to more than"):
        unpack(bomb, tmp_path / "tree")
    # the directory says 10 bytes: either the count or the checksum finds it out
    real, said = (200_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    with pytest.raises(WheelRefused):
        unpack(bomb.replace(real, said), tmp_path / "another")
    monkeypatch.setattr(wheels, "MAX_FILES", 3)
    with pytest.raises(WheelRefused, match="4 files"):
        unpack(wheel(), tmp_path / "third")
    monkeypatch.setattr(wheels, "MAX_WHEEL", 100)
    with pytest.raises(WheelRefused, match="are allowed"):
        read_wheel(wheel(), WHEEL_NAME)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("letters/data", "a string to be found")
    with pytest.raises(WheelRefused, match="is damaged"):
        unpack(buffer.getvalue().replace(b"to be found", b"to be hated"), tmp_path / "tree")


def test_a_dependency_that_is_missing_is_named() -> None:
    def installed(name: str) -> str:
        if name == "numpy":
            return "2.1.3"
        raise importlib.metadata.PackageNotFoundError(name)

    asked = ["numpy>=2", "numpy<2", "torch>=2", "torch; python_version < '3'", "tensor flow"]
    *missing, unreadable = missing_requirements(asked, installed)
    assert missing == ["numpy<2 (2.1.3 is installed)", "torch>=2 (not installed)"]
    assert unreadable.startswith("'tensor flow' (cannot be read: ")
    assert "\n" not in unreadable


def test_a_project_is_built_the_same_each_time_and_a_wheel_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = project(tmp_path / "letters")
    data, name = wheel_of(folder)
    assert name == WHEEL_NAME
    assert wheel_of(folder) == (data, name)
    assert not (folder / "dist").exists()
    built = tmp_path / name
    built.write_bytes(data)
    assert wheel_of(built) == (data, name)
    assert read_wheel(data, name).targets == {"letters": "letters:Plugin"}


def test_what_cannot_be_built_says_why(tmp_path: Path) -> None:
    with pytest.raises(WheelRefused, match=r"no pyproject\.toml"):
        wheel_of(tmp_path)
    with pytest.raises(WheelRefused, match="neither a project folder nor a wheel"):
        wheel_of(tmp_path / "nothing")
    with pytest.raises(WheelRefused, match="cannot be read"):
        wheel_of(tmp_path / "nothing.whl")
    (tmp_path / "pyproject.toml").write_text('[build-system]\nbuild-backend = "setuptools.build_meta"\n')
    with pytest.raises(WheelRefused, match=r"setuptools\.build_meta"):
        wheel_of(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[build-system]\nbuild-backend = "hatchling.build"\n')
    with pytest.raises(WheelRefused, match=r"(?s)cannot be built: .*project"):
        wheel_of(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> LibraryWheels:
    return LibraryWheels(FolderStore(tmp_path / "library"))


def test_a_store_returns_only_what_has_the_hash(store: LibraryWheels, tmp_path: Path) -> None:
    data = wheel()
    sha256 = store.put(data, WHEEL_NAME)
    assert store.put(data, WHEEL_NAME) == sha256 == sha256_of(data)
    assert store.get(sha256) == data
    kept = tmp_path / "library" / "wheels" / sha256 / WHEEL_NAME
    kept.write_bytes(b"evil")
    with pytest.raises(WheelMissing, match="other bytes"):
        store.get(sha256)
    with pytest.raises(UsageError, match="damaged or changed"):
        store.put(data, WHEEL_NAME)
    with pytest.raises(WheelMissing, match="no wheel"):
        store.get("ab" * 32)


def test_an_unpacked_wheel_that_was_changed_is_made_anew(store: LibraryWheels, tmp_path: Path) -> None:
    data = wheel()
    sha256 = store.put(data, WHEEL_NAME)
    cache = WheelCache(tmp_path / "cache")
    tree = cache.tree(sha256, store.get)
    module = tree / "letters" / "__init__.py"
    good = module.read_bytes()

    def assert_whole() -> None:
        assert cache.tree(sha256, store.get) == tree
        assert module.read_bytes() == good
        assert not (tree / "letters" / "more.py").exists()
        assert sorted(each.name for each in tree.parent.iterdir()) == ["tree", "wheel.whl"]

    module.write_bytes(good + b"\nprint('evil')\n")
    assert_whole()
    (tree / "letters" / "more.py").write_text("evil = True\n")
    assert_whole()
    module.unlink()
    assert_whole()
    module.unlink()
    (tmp_path / "elsewhere.py").write_bytes(good)
    os.symlink(tmp_path / "elsewhere.py", module)
    assert_whole()
    (tree.parent / "wheel.whl").write_bytes(b"evil")
    assert_whole()


def test_a_cache_keeps_nothing_that_has_another_hash(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="came in the place of"):
        WheelCache(tmp_path).tree("ab" * 32, lambda _sha256: wheel())
    assert list(tmp_path.iterdir()) == []


def test_an_unpacked_wheel_needs_the_store_no_more(store: LibraryWheels, tmp_path: Path) -> None:
    sha256 = store.put(wheel(), WHEEL_NAME)
    tree = WheelCache(tmp_path / "cache").tree(sha256, store.get)

    def gone(sha256: str) -> bytes:
        raise WheelMissing(sha256)

    assert WheelCache(tmp_path / "cache").tree(sha256, gone) == tree
