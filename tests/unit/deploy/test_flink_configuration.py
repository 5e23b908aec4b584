from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from deploy.flink import worker_variables
from deploy.flink_configuration import Memory, link_library, settings, write_configuration
from deploy.jars.maven import connector_jar
from deploy.java import clean_environment, flink_lib, flink_python_jar, java


def test_the_java_of_the_wheel_is_there() -> None:
    assert os.access(java(), os.X_OK)


def test_a_child_gets_nothing_of_the_callers_java_or_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JAVA_HOME", "JAVA_TOOL_OPTIONS", "PYTHONPATH", "FLINK_HOME", "LD_PRELOAD", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "/elsewhere")
    environment = clean_environment()
    assert "/elsewhere" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["JAVA_HOME"] == str(java().parent.parent)


def test_memory_adds_up_to_what_the_machine_can_spare() -> None:
    assert Memory().job_total == 800
    assert Memory().task_total == 1200


def test_the_configuration_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    values = settings(tmp_path / 'a "b" c', 3, 12345, 12346, Memory())
    write_configuration(tmp_path / "conf", values)
    assert yaml.safe_load((tmp_path / "conf" / "config.yaml").read_text()) == values
    assert values["taskmanager.numberOfTaskSlots"] == 3
    assert {values[name] for name in values if name.endswith(("bind-host", "bind-address"))} == {"127.0.0.1"}
    assert "--add-opens=java.base/java.util=ALL-UNNAMED" in values["env.java.opts.all"]


def test_the_library_holds_flinks_jars_flink_python_and_the_kafka_connector(tmp_path: Path) -> None:
    for _ in range(2):
        link_library(tmp_path / "lib")
    jars = {jar.name for jar in (tmp_path / "lib").iterdir() if jar.resolve().is_file()}
    assert jars == {jar.name for jar in flink_lib().glob("*.jar")} | {flink_python_jar().name, connector_jar().name}


def test_workers_get_what_names_their_credentials_and_nothing_else() -> None:
    given = {
        "SOSIE_LIBRARY": "s3://bucket",
        "AWS_PROFILE": "models",
        "SOSIE_KAFKA_LOGIN": "k",
        "SECRET": "x",
        "PATH": "/bin",
        "SOSIE_STATE": "s",
    }
    assert worker_variables(given) == {
        "SOSIE_LIBRARY": "s3://bucket",
        "AWS_PROFILE": "models",
        "SOSIE_KAFKA_LOGIN": "k",
    }
