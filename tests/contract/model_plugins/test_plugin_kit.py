"""`sosie plugin new` writes packages that run, pass their check and their own tests, and build into a wheel."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from materials.errors import UsageError
from model_plugins.conformance import resolve, supervise
from model_plugins.kit.scaffold import check_name, words_of, write_package
from model_plugins.protocol import MEDIA_KINDS, MediaKind
from pipeline.cli import plugin_kit

ROOT = Path(__file__).parents[3]


def command_line() -> typer.Typer:
    group = typer.Typer()
    plugin_kit.add_to(group)
    return group


@pytest.mark.parametrize("with_model", [False, True], ids=["without-model", "with-model"])
@pytest.mark.parametrize("kind", MEDIA_KINDS)
def test_each_template_passes_its_check(kind: MediaKind, with_model: bool, tmp_path: Path) -> None:
    folder = write_package("my-first-plugin", tmp_path, kind, with_model=with_model)
    [target] = resolve(str(folder))
    assert (target.name, target.path) == ("my-first-plugin", "my_first_plugin.plugin:MyFirstPlugin")
    report = supervise(target)
    assert report.passed, report.failures
    assert report.plugin == "my-first-plugin@1"
    judged = {each.promise: each.status for each in report.results}
    assert judged["examples-are-true"] == "pass", "each template shows what an example expects"
    assert judged["model-is-sound"] == ("pass" if with_model else "n/a")


def test_its_own_tests_pass_in_a_process_of_their_own(tmp_path: Path) -> None:
    folder = write_package("colour-histogram", tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d\d passed", done.stdout)


def test_it_builds_into_a_wheel_that_passes_too(tmp_path: Path) -> None:
    folder = write_package("colour-histogram", tmp_path)
    build = "import hatchling.build; print(hatchling.build.build_wheel('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    wheel = folder / "dist" / done.stdout.strip().splitlines()[-1]
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"colour_histogram", "colour_histogram-1.0.0.dist-info"}
    [target] = resolve(str(wheel))
    assert target.path == "colour_histogram.plugin:ColourHistogram"
    assert supervise(target).passed


def test_what_is_written(tmp_path: Path) -> None:
    folder = write_package("colour-histogram", tmp_path)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        ".gitignore",
        "README.md",
        "colour_histogram/__init__.py",
        "colour_histogram/plugin.py",
        "pyproject.toml",
        "tests/test_colour_histogram.py",
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["sosie.plugins"] == {"colour-histogram": "colour_histogram.plugin:ColourHistogram"}
    for path in folder.rglob("*"):
        if path.is_file():
            assert "${" not in path.read_text()
        if path.suffix == ".py":
            assert all(len(line) <= 120 for line in path.read_text().splitlines())
            ast.parse(path.read_text())


def test_templates_are_in_the_distribution() -> None:
    """The wheel takes whole folders; nothing ignores a template."""
    templates = [str(path.relative_to(ROOT)) for path in (ROOT / "model_plugins/kit/templates").rglob("*.tmpl")]
    assert len(templates) >= 11
    ignored = subprocess.run(["git", "check-ignore", *templates], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not ignored.stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "cannot be the name"),
        ("Colour", "cannot be the name"),
        ("2d-shapes", "cannot be the name"),
        ("a--b", "cannot be the name"),
        ("a-", "cannot be the name"),
        ("a_b", "cannot be the name"),
        ("../escape", "cannot be the name"),
        ("x" * 65, "cannot be the name"),
        ("class", "a word of Python"),
        ("match", "a word of Python"),
        ("json", "Python's own"),
        ("image-pdq", "a plug-in already"),
        ("numpy", "installed already"),
        ("model-plugins", "installed already"),
    ],
)
def test_unusable_names_are_refused(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        write_package(name, tmp_path)
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("a day's work")
    with pytest.raises(UsageError, match="there already"):
        write_package("mine", tmp_path)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.txt"]


def test_words() -> None:
    assert words_of("colour-histogram")["class_name"] == "ColourHistogram"
    check_name("a-name-that-nobody-has")


class TestCommandLine:
    def test_new_then_check(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        run = CliRunner()
        written = run.invoke(command_line(), ["new", "loudness", "--kind", "video"])
        assert written.exit_code == 0, written.output
        assert "sosie plugin check loudness" in written.output
        checked = run.invoke(command_line(), ["check", "loudness"])
        assert checked.exit_code == 0, checked.output
        assert "loudness@1 keeps every promise" in checked.output
        assert "…" not in checked.output, "no promise's name is cut short"

    def test_a_broken_promise_is_explained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        folder = write_package("colour-histogram", tmp_path)
        module = folder / "colour_histogram" / "plugin.py"
        module.write_text(module.read_text().replace("astype(np.float32)", "astype(np.float64)"))
        checked = CliRunner().invoke(command_line(), ["check", "colour-histogram"])
        assert checked.exit_code == 1
        assert "breaks a promise" in checked.output
        told = checked.output[checked.output.index("happened") :]
        assert re.search(r"happened\s+the embedding is float64\[64\]", told)
        assert re.search(r"example\s+red is one colour", told)
        assert re.search(r"promised\s+interpret gives a feature of the declared schema", told)
        assert re.search(r"change\s+return float32 \[d\]", told)
        assert re.search(r'see\s+model_plugins/protocol.py:\d+: "', told)

    def test_a_scalar_is_not_told_to_divide_by_its_norm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        module = write_package("colour-histogram", tmp_path) / "colour_histogram" / "plugin.py"
        module.write_text(module.read_text().replace("astype(np.float32)[None]", "astype(np.float32)"))
        checked = CliRunner().invoke(command_line(), ["check", "colour-histogram"])
        assert re.search(r"change\s+return the whole vector", checked.output), checked.output

    def test_json(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write_package("colour-histogram", tmp_path)
        command = "from test_cli import main; main()"
        (tmp_path / "test_cli.py").write_text(
            "import typer\nfrom pipeline.cli import plugin_kit\nmain = typer.Typer()\nplugin_kit.add_to(main)\n"
        )
        arguments = [sys.executable, "-c", command, "check", "colour-histogram", "--json"]
        done = subprocess.run(arguments, capture_output=True, timeout=60, check=True)
        [report] = msgspec.json.decode(done.stdout)
        assert report["passed"] is True
        assert report["plugin"] == "colour-histogram@1"
        assert {"promise", "status", "promised", "happened", "example", "change", "see"} <= report["promises"][0].keys()
        assert report["measured"]["seconds"] < 10

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("nowhere", "there is no plug-in at 'nowhere'"),
            (".", "has no pyproject.toml"),
            ("empty", "declares no entry point"),
            ("two.py", "has 2 classes that look like a plug-in: A, B"),
            ("broken.whl", "cannot be read"),
        ],
    )
    def test_paths_that_name_nothing(
        self, path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "pyproject.toml").write_text("[project]\nname = 'empty'\n")
        (tmp_path / "broken.whl").write_bytes(b"no zip")
        body = "class {}:\n    def interpret(self): ...\n"
        (tmp_path / "two.py").write_text(body.format("A") + body.format("B"))
        with pytest.raises(UsageError, match=reason) as caught:
            resolve(path)
        assert caught.value.remedy

    def test_the_ways_to_name_a_plugin(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        folder = write_package("colour-histogram", tmp_path)
        file = folder / "colour_histogram" / "plugin.py"
        assert resolve(str(file))[0].path == "plugin:ColourHistogram"
        assert supervise(resolve(f"{file}:ColourHistogram")[0]).passed
        assert resolve("image-pdq")[0].path == "model_plugins.builtin.image_pdq:ImagePdq"
        assert resolve("model_plugins.builtin.image_pdq:ImagePdq")[0].name == ""

    def test_the_entry_point_must_have_the_manifests_name(self, tmp_path: Path) -> None:
        folder = write_package("colour-histogram", tmp_path)
        project = folder / "pyproject.toml"
        project.write_text(project.read_text().replace("colour-histogram = ", "colors = "))
        report = supervise(resolve(str(folder))[0])
        assert [(each.promise, each.happened) for each in report.failures] == [
            ("name-is-its-own", "the entry point calls it 'colors', the manifest 'colour-histogram'")
        ]
