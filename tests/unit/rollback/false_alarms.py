"""How often the shipped guardrails roll back a good challenger, and how soon a worse one.

Whole days are played at 50 requests a second with a look every 15 s. Latencies are lognormal and pass
through the real buckets; windows, limits, samples and times are those of guardrails.yaml. The arithmetic of
Prometheus is done here once more (counts in buckets, linear within one), without scrapes in between.

    python -m tests.unit.rollback.false_alarms        prints the tables of docs/decisions/0004
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import log
from statistics import NormalDist, median

import numpy as np
from numpy.typing import NDArray

from common.names import latency_buckets
from rollback.guardrails import Threshold, load_policy

Counts = NDArray[np.int64]  # looks x buckets, or looks
Values = NDArray[np.float64]

Dice = np.random.Generator

RATE = 50.0  # requests a second, both models together
LOOK = 15  # seconds between two looks
SHARES = (0.01, 0.05, 0.25)
DAY = 24 * 3600 // LOOK  # looks
EDGES = np.array(latency_buckets())
GUARDRAILS = {guardrail.name: guardrail for guardrail in load_policy().thresholds}


@dataclass(frozen=True)
class Latency:
    """A lognormal: its 99th percentile in seconds, and sigma."""

    p99: float
    sigma: float = 0.6

    def chances(self) -> Values:
        """The chance of each bucket, that above the last edge included."""
        normal = NormalDist()
        middle = log(self.p99) - self.sigma * normal.inv_cdf(0.99)
        below = np.array([normal.cdf((log(edge) - middle) / self.sigma) for edge in EDGES])
        return np.diff(np.concatenate(([0.0], below, [1.0])))


def play(dice: Dice, rate: float, latency: Latency, looks: int = DAY) -> Counts:
    """New calls by bucket between looks, at `rate` calls a second."""
    return dice.multinomial(dice.poisson(rate * LOOK, looks), latency.chances())


def within(new: Counts, window: timedelta) -> Counts:
    """Calls within the window of each look. The first windows are shorter: the stage began with the day."""
    ends = np.concatenate((np.zeros_like(new[:1]), new.cumsum(axis=0)))
    now = np.arange(1, len(new) + 1)
    counts: Counts = ends[now] - ends[np.maximum(now - int(window.total_seconds()) // LOOK, 0)]
    return counts


def p99(counts: Counts) -> Values:
    """histogram_quantile(0.99, counts) at each look; NaN without calls."""
    total = counts.cumsum(axis=1)
    rank = 0.99 * total[:, -1]
    bucket = np.minimum((total < rank[:, None]).sum(axis=1), len(EDGES) - 1)
    looks = np.arange(len(counts))
    upper, lower = EDGES[bucket], np.where(bucket > 0, EDGES[bucket - 1], 0.0)
    inside = counts[looks, bucket]
    before = total[looks, bucket] - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.minimum((rank - before) / inside, 1)
    return np.where(total[:, -1] > 0, lower + (upper - lower) * part, np.nan)


def first_breach(
    guardrail: Threshold, values: Values, samples: Counts, smallest: int | None = None
) -> int | None:
    """The look that brings a rollback: beyond the limit, on enough calls, as at all looks of the `for`."""
    smallest = guardrail.smallest_sample if smallest is None else smallest
    beyond = (values > guardrail.limit) & (samples >= smallest)
    needed = 1 + int((guardrail.hold or timedelta()).total_seconds()) // LOOK
    held = np.convolve(beyond, np.ones(needed), "valid") >= needed - 0.5
    return int(held.argmax()) + needed - 1 if held.any() else None


def slow_day(dice: Dice, share: float, true_p99: float, smallest: int | None = None) -> bool:
    """Whether challenger-p99 rolls back within a day; `smallest` in place of the shipped smallest sample."""
    guardrail = GUARDRAILS["challenger-p99"]
    counts = within(play(dice, RATE * share, Latency(true_p99)), guardrail.window)
    return first_breach(guardrail, p99(counts), counts.sum(axis=1), smallest) is not None


def failing_day(dice: Dice, share: float, errors: float, smallest: int | None = None) -> bool:
    """Whether challenger-errors rolls back, within a day, a model that fails in `errors` of its calls."""
    guardrail = GUARDRAILS["challenger-errors"]
    calls = dice.poisson(RATE * share * LOOK, DAY)
    failed, made = (within(new, guardrail.window) for new in (dice.binomial(calls, errors), calls))
    return first_breach(guardrail, failed / np.maximum(made, 1), made, smallest) is not None


def ratio_breach(
    dice: Dice, challenger: Counts, champion_rate: float, latency: Latency, smallest: int | None = None
) -> int | None:
    """The look at which challenger-p99-ratio rolls back, against a champion of `latency`."""
    guardrail = GUARDRAILS["challenger-p99-ratio"]
    mine = within(challenger, guardrail.window)
    theirs = within(play(dice, champion_rate, latency, len(challenger)), guardrail.window)
    samples = np.minimum(mine.sum(axis=1), theirs.sum(axis=1))
    return first_breach(guardrail, p99(mine) / p99(theirs), samples, smallest)


def ratio_day(dice: Dice, share: float, sigma: float, smallest: int | None = None) -> bool:
    """Whether challenger-p99-ratio rolls back one of two equal models within a day."""
    latency = Latency(0.1, sigma)
    challenger = play(dice, RATE * share, latency)
    return ratio_breach(dice, challenger, RATE * (1 - share), latency, smallest) is not None


def ratio_delay(dice: Dice, share: float, factor: float) -> float:
    """Minutes from a regression by `factor`, two hours into the stage, to the rollback; infinite without."""
    before = 2 * 3600 // LOOK
    good = play(dice, RATE * share, Latency(0.1), before)
    bad = play(dice, RATE * share, Latency(0.1 * factor), 4 * 3600 // LOOK)
    look = ratio_breach(dice, np.concatenate((good, bad)), RATE * (1 - share), Latency(0.1))
    return float("inf") if look is None else (look + 1 - before) * LOOK / 60


DAYS: tuple[tuple[str, Callable[[Dice, float, float, int | None], bool], float], ...] = (
    ("challenger-p99, true p99 67 ms", slow_day, 0.067),
    ("challenger-p99, true p99 100 ms", slow_day, 0.1),
    ("challenger-p99, true p99 133 ms", slow_day, 0.133),
    ("challenger-errors, true rate 0.1%", failing_day, 0.001),
    ("challenger-errors, true rate 1%", failing_day, 0.01),
    ("challenger-errors, true rate 2%", failing_day, 0.02),
    ("challenger-p99-ratio, sigma 0.6", ratio_day, 0.6),
    ("challenger-p99-ratio, sigma 1.0", ratio_day, 1.0),
)


def main() -> None:
    """Print the tables."""
    dice, runs = np.random.default_rng(20261123), 200
    print("false rollbacks in 24 h; at each share as shipped, then with a smallest sample of 1")
    print(f"{'share':34}", *(f"{share:12.0%} " for share in SHARES))
    for name, day, argument in DAYS:
        rates = [
            sum(day(dice, share, argument, smallest) for _ in range(runs)) / runs
            for share in SHARES
            for smallest in (None, 1)
        ]
        print(f"{name:34}", *(f"{rate:6.1%}" for rate in rates), flush=True)
    print("challenger-p99-ratio: median minutes from a regression after 2 h to the rollback")
    for factor in (1.2, 1.3, 1.5, 2.0):
        delays = [median(ratio_delay(dice, share, factor) for _ in range(50)) for share in SHARES[1:]]
        print(f"p99 x{factor:<29}", *(f"{delay:13.1f}" for delay in delays), flush=True)


if __name__ == "__main__":
    main()
