"""What an operation on content IDs works with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from vector_index.comparison import Comparer
from vector_index.log import Log
from vector_index.policies import Policy
from vector_index.recall import Spaces


class Shelf(msgspec.Struct, frozen=True):
    """The parts of an engine, under its lock; an operation that changes anything also has a transaction open."""

    log: Log
    spaces: Spaces
    comparer: Comparer
    policies: Mapping[str, Policy]
    counters: Counter[str]
