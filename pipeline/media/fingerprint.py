"""The fingerprint that tells a replay from a conflicting material."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def fingerprint(text: str, media_sha256: Sequence[bytes]) -> bytes:
    """16 bytes of BLAKE2b (RFC 7693) over a text and the sha256 of each medium, in order.

    Every part is preceded by its length or count, so that no two different inputs are encoded alike.

    Raises:
        ValueError: a digest is not 32 bytes long.
    """
    # a lone surrogate is legal in JSON and so may stand in a text
    encoded = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(digest_size=16, person=b"sosie-material")
    digest.update(len(encoded).to_bytes(8, "little"))
    digest.update(encoded)
    digest.update(len(media_sha256).to_bytes(8, "little"))
    for sha256 in media_sha256:
        if len(sha256) != 32:
            raise ValueError(f"a sha256 has 32 bytes, this one {len(sha256)}")
        digest.update(sha256)
    return digest.digest()
