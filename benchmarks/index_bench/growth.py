"""Items a second over the size of the index: a fitted curve and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np


class Curve(msgspec.Struct, frozen=True):
    """Milliseconds an item = `fixed_ms` + `factor` x n ** `exponent`."""

    fixed_ms: float
    factor: float
    exponent: float

    def rate(self, n: float) -> float:
        """Items a second at n."""
        return 1000.0 / (self.fixed_ms + self.factor * n**self.exponent)


def fit(sizes: Sequence[int], rates: Sequence[float]) -> Curve:
    """Least squares of the logarithm of the rate, over a grid of exponents and non-negative parts."""
    n, ms = np.array(sizes, float), 1000.0 / np.array(rates, float)
    best, least = Curve(float(ms.mean()), 0.0, 0.0), np.inf
    for exponent in np.linspace(0.1, 1.0, 91):
        for fixed in np.linspace(0.0, float(ms.min()), 101):
            grown = n**exponent
            factor = max(0.0, float(np.median((ms - fixed) / grown)))
            error = float((np.log((fixed + factor * grown) / ms) ** 2).sum()) if fixed + factor > 0 else np.inf
            if error < least:
                best, least = Curve(float(fixed), factor, float(exponent)), error
    return best


def draw(path: Path, sizes: Sequence[int], rates: Sequence[float], bare: Sequence[float], curve: Curve) -> None:
    """A PNG: measured points of both, the fitted curve."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    span = np.geomspace(min(sizes), max(sizes), 100)
    axes.plot(span, [curve.rate(n) for n in span], color="tab:blue", lw=1)
    axes.plot(sizes, rates, "o", color="tab:blue", label="assign, durable, through gRPC")
    axes.plot(sizes, bare, "x", color="tab:grey", label="bare FAISS loop")
    axes.set(xscale="log", xlabel="vectors stored", ylabel="items a second", ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
