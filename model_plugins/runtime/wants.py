"""What the decode child is asked for beside the tensors of the plug-ins that it runs itself."""

from __future__ import annotations

import msgspec


class Wants(msgspec.Struct, frozen=True, array_like=True):
    """For plug-ins in children of their own. `media`: the decoded medium, with at least `min_side` pixels on its
    shorter side, and with its sound when one `hears`; `encoded`: the file as it is."""

    media: bool = False
    encoded: bool = False
    min_side: int = 0
    hears: bool = False


NOTHING = Wants()
