"""Third-party plug-ins that misbehave on request: the text says how. They run in real children."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.errors import Rejected
from materials.records import Feature
from model_plugins.protocol import Example, ImageMedia, Manifest, ModelRef, Tensors, TextMedia, VideoMedia

_MODEL = ModelRef("letters", {"codes": ("INT32", (4,))}, ("sum",))


def _misbehave(text: str) -> None:
    word, _, rest = text.partition(" ")
    if word == "loop":
        while True:
            pass
    if word == "sleep":
        time.sleep(float(rest))
    if word == "raise":
        raise KeyError("no such letter")
    if word == "exit":
        os._exit(7)
    if word == "sys.exit":
        sys.exit("enough")
    if word == "segfault":
        ctypes.string_at(0)
    if word == "eat":
        hoard = []
        while True:
            hoard.append(np.ones(64 * 1024**2, np.uint8))
    if word == "reject":
        raise Rejected("too_rude", "this text is too rude")
    if word == "garble":
        _parent().send(b"\xc1 this is not msgpack")
    if word == "flood":
        while True:
            _parent().send(b"x" * 60_000)
    if word == "print":
        for number in range(10_000):
            print(f"line {number}", "x" * 1000)
    if word == "fork" and os.fork() == 0:
        time.sleep(60)


def _parent() -> socket.socket:
    for name in os.listdir("/proc/self/fd"):
        if os.path.exists(f"/proc/self/fd/{name}") and os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
            return socket.socket(fileno=os.dup(int(name)))
    raise AssertionError("no socket")


class Probe:
    """Text -> its first four letters; the sum of a model's answer -> the feature."""

    manifest = Manifest(name="probe", version=3, media="text", schema="vector", model=_MODEL)

    def prepare(self, media: TextMedia) -> Any:
        _misbehave(media.text)
        if not media.text:
            return None
        if media.text == "list":
            return [1, 2]
        if media.text == "objects":
            return {"codes": np.array([object()])}
        if media.text == "many":
            return {f"array-{number}": np.zeros(1) for number in range(100)}
        if media.text == "huge":
            return {"codes": np.zeros((20, 1024, 1024), np.uint8)}
        if media.text == "environment":
            return {"names": np.array(sorted(os.environ), "S60")}
        if media.text == "pid":
            return {"pid": np.array([os.getpid()])}
        codes = [ord(letter) for letter in media.text.ljust(4)[:4]]
        return {"codes": np.array([codes], np.int32), "text": np.frombuffer(media.text.encode(), np.uint8)}

    def interpret(self, outputs: Tensors) -> Any:
        text = outputs["text"].tobytes().decode()
        _misbehave(text)
        if text == "another schema":
            return Feature.of("keypoints", np.zeros(3))
        if text == "no feature":
            return {"not": "a feature"}
        if text == "short":
            return Feature(schema="vector", dtype="float32", shape=(100,), data=b"1234")
        return Feature.of("vector", outputs["sum"].astype(np.float32))

    def examples(self) -> list[Example]:
        return [Example("a word", TextMedia("word"))]


class Brightness(Probe):
    """Of stills."""

    manifest = Manifest(name="brightness", version=1, media="image", schema="vector")

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]]:
        return {"mean": media.rgb.mean(axis=(0, 1))[None], "size": np.array([[media.width, media.height]])}

    def prepare_encoded(self, data: bytes) -> dict[str, NDArray[Any]]:
        return {"data": np.frombuffer(data, np.uint8)[None]}


class Clip(Probe):
    """Of videos."""

    manifest = Manifest(name="clip", version=1, media="video", schema="vector", hears=True)

    def prepare(self, media: VideoMedia) -> dict[str, NDArray[Any]]:
        sound = np.zeros(0, np.float32) if media.sound is None else media.sound
        return {"frames": media.frames, "times": media.times, "sound": sound, "seconds": np.array([media.duration])}


class Summary(Probe):
    """Of other plug-ins' features."""

    manifest = Manifest(name="summary", version=1, media="text", schema="vector")
    needs = ("probe", "brightness")

    def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        if not features:
            return None
        total = np.concatenate([features[name].array() for name in sorted(features)])
        return Feature.of("vector", np.append(total, len(text)).astype(np.float32))


class Broken(Probe):
    def __init__(self) -> None:
        raise RuntimeError("no such weights")


class Sleeper(Probe):
    def __init__(self) -> None:
        time.sleep(60)


class Fickle(Probe):
    """Has another manifest at each start."""

    @property
    def manifest(self) -> Manifest:  # type: ignore[override]
        return Manifest(name="fickle", version=os.getpid(), media="text", schema="vector")


class Strange(Probe):
    manifest = Manifest(name="../strange", version=1, media="text", schema="vector")
