"""Flink's logs must not print the environment of its Python workers: secrets may be in it."""

from __future__ import annotations

from pathlib import Path

from deploy.flink_configuration import write_configuration


def test_every_logging_configuration_silences_beams_account_of_its_workers(tmp_path: Path) -> None:
    write_configuration(tmp_path, {})
    files = sorted(tmp_path.glob("log4j*.properties"))
    assert files
    for file in files:
        settings = dict(
            line.replace(" ", "").split("=", 1)
            for line in file.read_text().splitlines()
            if "=" in line and not line.startswith("#")
        )
        assert settings["logger.beamworkers.name"] == "org.apache.beam.runners.fnexecution"
        assert settings["logger.beamworkers.level"] == "ERROR"
        assert settings["rootLogger.level"].endswith("INFO}")
