"""Sound with known content: read and spoken English with its words, music, and neither.

Speech: five sentences of a LibriVox reading (public domain) and five of playing cards being named, as pocketsphinx's
tests transcribe them. Music: ten-second pieces of the two instrumental tracks that arcade carries. Neither: noise and
a door, drawn from a seed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.labelled import sources
from model_plugins.protocol import SOUND_RATE

Sound = NDArray[np.float32]
PIECE_SECONDS = 10
_READINGS = ("0870", "0880", "0890", "0920", "0930")
_CARDS = ("001", "002", "003", "004", "005")
_TRACKS = ("music/1918.mp3", "music/funkyrobot.mp3")
_MARK = re.compile(r"^<s>\s*(.*?)\s*</s>\s*\((.*)\)$", re.MULTILINE)


class Heard(NamedTuple):
    """`kind`: speech, music or nothing. `text`: what is said, small letters without marks."""

    title: str
    sound: Sound
    kind: str
    text: str = ""


def spoken() -> Iterator[Heard]:
    """10 sentences."""
    for folder, stem, listing, names in (
        ("librivox", "sense_and_sensibility_01_austen_64kb-", "librivox/transcription", _READINGS),
        ("cards", "", "cards/cards.transcription", _CARDS),
    ):
        files = sources.members(sources.POCKETSPHINX, [listing, *(f"{folder}/{stem}{name}.wav" for name in names)])
        texts = {name: text for text, name in _MARK.findall(files[listing].decode())}
        for name in names:
            file = f"{folder}/{stem}{name}.wav"
            yield Heard(file, decode(files[file]), "speech", texts[stem + name])


def music(pieces: int = 6) -> Iterator[Heard]:
    """Pieces of ten seconds, evenly over each of two tracks."""
    files = sources.members(sources.ARCADE, _TRACKS)
    for name in _TRACKS:
        track = decode(files[name])
        length = PIECE_SECONDS * SOUND_RATE
        for number in range(pieces):
            start = int((len(track) - length) * number / max(1, pieces - 1))
            yield Heard(f"{name} at {start // SOUND_RATE} s", track[start : start + length], "music")


def neither(seed: int = 0) -> Iterator[Heard]:
    """White noise, a low hum, and knocks: five seconds each."""
    rng = np.random.default_rng(seed)
    time = np.arange(5 * SOUND_RATE) / SOUND_RATE
    yield Heard("white noise", rng.normal(0, 0.05, time.size).astype(np.float32), "nothing")
    yield Heard("mains hum", (0.1 * np.sin(2 * np.pi * 50 * time)).astype(np.float32), "nothing")
    knocks = rng.normal(0, 0.3, time.size) * np.exp(-40 * (time % 1.25))
    yield Heard("knocks", knocks.astype(np.float32), "nothing")


def decode(data: bytes) -> Sound:
    """A sound file -> float32, mono, 16 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    with av.open(io.BytesIO(data)) as container:
        pieces = [each.to_ndarray()[0] for frame in container.decode(audio=0) for each in resampler.resample(frame)]
    pieces += [each.to_ndarray()[0] for each in resampler.resample(None)]
    return np.concatenate(pieces)
