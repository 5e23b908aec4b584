"""A projection that also keeps what it was given, until it is asked for: for sinks that want features themselves."""

from __future__ import annotations

from collections.abc import Mapping

from materials.records import Features, Outcome
from pipeline.projection import Projection


class FeatureTap(Projection):
    """As `Projection`; use it from one event loop."""

    def __init__(self, url: str, policy: str, run_id: str, ttl_s: int | None = None) -> None:
        super().__init__(url, policy, run_id, ttl_s)
        self._kept: dict[str, dict[str, Features]] = {}

    async def publish(
        self, outcome: Outcome, features: dict[str, Features], stamps: Mapping[str, bytes] | None = None
    ) -> None:
        """Write one outcome; once that is done its features may be taken.

        Raises:
            Retryable: Redis did not answer; writing again is harmless.
        """
        await super().publish(outcome, features, stamps)
        if features:
            self._kept[outcome.material_id] = features

    def take(self, material_id: str) -> dict[str, Features]:
        """The features of a material that was just published, by material id; none the second time."""
        return self._kept.pop(material_id, {})
