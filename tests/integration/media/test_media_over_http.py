"""A medium behind a URL: fetched by the parent, decoded by the child, with a shipped plug-in."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from materials.errors import Rejected
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def fetched_to(parent: Path) -> Path:
    (folder,) = parent.glob("sosie-media-*")
    return folder


def test_a_listed_host(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    picture = tmp_path / "www" / "cat.jpg"
    noise = np.random.default_rng(2).integers(0, 255, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(picture)
    (tmp_path / "www" / "cut.jpg").write_bytes(picture.read_bytes()[:5000])

    async def scene() -> None:
        pool = MediaPool(
            ["image-embedding"], MediaAccess(hosts=(address,)), MediaLimits(), is_allowed_address=lambda _: True
        )
        folder = fetched_to(tmp_path)
        try:
            prepared = await pool.prepare(f"http://{address}/cat.jpg", tmp_path, "image")
            assert prepared.sha256 == hashlib.sha256(picture.read_bytes()).digest()
            assert prepared.tensors["image-embedding"]["image"].shape == (1, 224, 224, 3)
            for name, code in {"cut.jpg": "truncated_image", "none.jpg": "missing_file"}.items():
                with pytest.raises(Rejected) as caught:
                    await pool.prepare(f"http://{address}/{name}?token=abc", tmp_path, "image")
                assert caught.value.code == code
                assert name in caught.value.sentence
                assert "abc" not in caught.value.sentence
            assert os.listdir(folder) == []
        finally:
            pool.close()

    asyncio.run(scene())
    assert not list(tmp_path.glob("sosie-media-*"))
