"""Which endpoint takes the next call, which get none for now, and how many attempts there may be."""

from model_plugins.balancing.guard import Guard
from model_plugins.balancing.latency import Latencies
from model_plugins.balancing.named import DEFAULT, NAMES, by_name
from model_plugins.balancing.peak_ewma import PeakEwma
from model_plugins.balancing.protocol import Balancer
from model_plugins.balancing.retry_budget import RetryBudget
from model_plugins.balancing.settings import Settings
from model_plugins.balancing.strategies import LeastOutstanding, RoundRobin, Weighted
from model_plugins.balancing.zone_aware import ZoneAware

__all__ = [
    "DEFAULT",
    "NAMES",
    "Balancer",
    "Guard",
    "Latencies",
    "LeastOutstanding",
    "PeakEwma",
    "RetryBudget",
    "RoundRobin",
    "Settings",
    "Weighted",
    "ZoneAware",
    "by_name",
]
