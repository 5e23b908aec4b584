"""What a medium may cost, and where it may come from."""

from __future__ import annotations

from pathlib import Path

import msgspec


class MediaLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds for one medium. Beyond them it is `rejected`; only `max_frames` thins out instead.

    `max_pixels`: of a still or of one video frame, as the header states it, checked before anything is decoded.
    `max_frames`: sampled frames of a video; longer ones are sampled more thinly, evenly over their whole length.
    `timeout_s`: reading, decoding and preparing one medium; the child that exceeds it is killed and replaced.
    `fetch_timeout_s`: from the first DNS question to the last byte, over all redirects.
    `memory_bytes`: address space of a decode child. `start_timeout_s`: until a new child answers.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 64_000_000
    max_duration_s: float = 3600.0
    max_frames: int = 240
    timeout_s: float = 30.0
    fetch_timeout_s: float = 20.0
    memory_bytes: int = 2 * 1024**3
    start_timeout_s: float = 60.0


class MediaAccess(msgspec.Struct, frozen=True):
    """Where media may come from, beside the folder of the input file.

    `roots`: folders. `hosts`: `name` (the scheme's own port), `name:port`, or `*.name` for every host below a name.
    `networks`: CIDR; addresses that are not public and that a listed host may have all the same.
    """

    roots: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
