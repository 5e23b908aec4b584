"""The gateway of the local stack: the OpenAPI document holds, and media and texts are found."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from scenes import scene, write_jpeg
from sosie_system import System

from materials.records import AssignItem
from pipeline.gateway.extraction import Extraction
from pipeline.gateway.settings import GatewaySettings
from vector_index.client import IndexClient

pytestmark = pytest.mark.stack
EXCEPTION = """
# no schema can say which bytes are a picture: arbitrary ones may be refused as an upload
[[operations]]
include-path = "/v1/search/media"
checks.positive_data_acceptance.enabled = false
"""


def examine(system: System, folder: Path, examples: int, *phases: str) -> str:
    """What schemathesis says of the gateway's document and answers, from one seed."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(EXCEPTION)
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(configuration), "run"]
    command += [f"{system.addresses.gateway}/openapi.json", "--seed", "1", "--no-color"]
    command += ["--max-examples", str(examples), "--phases", ",".join(phases), "--request-timeout", "60"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_schemathesis_finds_nothing(system: System, tmp_path: Path) -> None:
    assert "10 selected / 10 total" in examine(system, tmp_path, 10, "examples", "coverage", "fuzzing")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_schemathesis_finds_nothing_for_long(system: System, tmp_path: Path) -> None:
    examine(system, tmp_path, 500, "examples", "coverage", "fuzzing", "stateful")


async def materials(system: System, picture: Path, text: str) -> list[AssignItem]:
    """A picture and a post with the features that the plug-ins find in them."""
    extraction = Extraction(GatewaySettings(addresses=system.addresses, state=system.state))
    try:
        seen, read = await extraction.of_file(picture, "image"), await extraction.of_text(text)
    finally:
        await extraction.close()
    common: dict[str, Any] = {"policy": "feed", "fingerprint": bytes(16)}
    return [
        AssignItem(material_id="gw-image", kind="image", features=seen, **common),
        AssignItem(material_id="gw-text", kind="post", features=read, text=text, **common),
    ]


def test_search_by_media_and_text(system: System, tmp_path: Path) -> None:
    picture = write_jpeg(tmp_path / "one.jpg", scene(901))
    text = "The harbour bridge of Port Elsing opens on the ninth of May after eleven years of work"
    with IndexClient(system.addresses.index) as client:
        client.assign(asyncio.run(materials(system, picture, text)))
    with httpx.Client(base_url=system.addresses.gateway, timeout=120) as http:
        found = http.post("/v1/search/media", content=picture.read_bytes(), headers={"content-type": "image/jpeg"})
        assert found.status_code == 200, found.text
        best = found.json()["candidates"][0]
        assert best["material_id"] == "gw-image"
        assert best["score"] > 0.9
        content_id = http.get("/v1/materials/gw-image").json()["content_id"]
        assert best["content_id"] == content_id
        posts = http.post("/v1/search/text", json={"text": text.upper(), "k": 3}).json()["candidates"]
        assert posts[0]["material_id"] == "gw-text"
        page = http.post("/v1/search/media", content=b"<html></html>", headers={"content-type": "image/png"})
        assert page.status_code == 422
        assert page.json()["type"].endswith("not-an-image")
        assert "upload" in page.json()["detail"]
        clip = http.post("/v1/search/media?kind=video", content=picture.read_bytes()[:100])
        assert clip.status_code == 422
