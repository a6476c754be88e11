"""A share of things that happened, with what chance leaves open about it. Pure."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class Rate:
    """How often something happened, with a 95% interval."""

    hits: int
    runs: int

    @property
    def share(self) -> float:
        """Of the runs."""
        return self.hits / self.runs if self.runs else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval, at 95%."""
        if not self.runs:
            return 0.0, 1.0
        z = NormalDist().inv_cdf(0.975)
        middle = (self.share + z * z / (2 * self.runs)) / (1 + z * z / self.runs)
        spread = sqrt(self.share * (1 - self.share) / self.runs + (z / (2 * self.runs)) ** 2)
        half = z * spread / (1 + z * z / self.runs)
        return max(middle - half, 0.0), min(middle + half, 1.0)
