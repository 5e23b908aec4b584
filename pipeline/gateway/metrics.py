"""What a gateway counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class GatewayMetrics:
    """One gateway's counters. Routes are named by their template, so that ids never become labels."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "sosie_gateway_requests", "Requests, by how they ended.", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "sosie_gateway_request_seconds",
            "Time to the end of the answer.",
            labels,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge("sosie_gateway_requests_in_flight", "Requests in work.", registry=self._registry)
        self.materials = Counter("sosie_gateway_materials", "Materials that were looked up.", registry=self._registry)
        self.searches = Counter("sosie_gateway_searches", "Searches.", ("by",), registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request has ended."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)
