"""What a gateway may be told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.addresses import Addresses
from pipeline.media.limits import MediaLimits

MAX_IDS = 1_000
MAX_K = 100
MAX_PAGE = 1_000
MAX_TEXT = 10_000


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway.

    `addresses`: of the index, Redis and ZooKeeper. `state`: the system's folder. `read_token_file`: callers must show
    one of its tokens; None: whoever reaches the port may read. `hosts`: names under which it is reached, beside those
    of this machine (a page of a stranger in a browser comes with his own: DNS rebinding). `limits`: of an uploaded
    medium. `searches`: media or texts worked on at a time; as many again may wait. `upload_seconds`: until the last
    byte of a body. `call_seconds`: for one call of the index.
    """

    addresses: Addresses
    state: Path
    read_token_file: Path | None = None
    hosts: tuple[str, ...] = ()
    limits: MediaLimits = MediaLimits(max_duration_s=600.0, timeout_s=20.0)
    searches: int = 2
    max_json_bytes: int = 1 << 20
    upload_seconds: float = 60.0
    call_seconds: float = 10.0
