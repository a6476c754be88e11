"""A job that kept what it read of a stage decides, to the bit, what one decides that has just begun."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pytest

from common.answers import Sample, Track
from common.e_process import Values
from common.prometheus import Prometheus
from rollback.guardrails.counts import count_all
from rollback.guardrails.kinds.question import Answers
from rollback.guardrails.kinds.sequential import Counting, Sequential
from rollback.guardrails.measure import read_counters
from rollback.guardrails.past import Kept
from rollback.guardrails.tally import SeriesPlan
from rollback.guardrails.verdict import Verdict
from rollback.guardrails.window import Grid, fit_grid
from tests.unit.rollback.conftest import NOW, SEQUENTIAL, policy_of

SCRAPE, STEP = 5.0, timedelta(seconds=15)
STAGE = timedelta(minutes=40)
QUERY = '{__name__=~"bad_total|calls_total"}'
POLICY = policy_of(
    {**SEQUENTIAL, "at_least": 0.001},
    {**SEQUENTIAL, "name": "limit", "limit": 0.02},
    {**SEQUENTIAL, "name": "effect", "effect": 1.2, "share_of_alpha": 0.1, "action": "warn"},
    late_start={"every": "5m", "starts": 4, "weight": 0.3},
)


@dataclass(frozen=True)
class Scraped:
    """One series: when it was scraped and stored, Unix seconds, and what was read."""

    labels: Mapping[str, str]
    at: Values
    stored: Values
    values: Values

    def seen(self, moments: Values, now: float) -> Values:
        """The last sample of each moment, as they are stored now; NaN where it is older than two scrapes."""
        there = self.stored <= now
        at, values = self.at[there], self.values[there]
        last = np.searchsorted(at, moments, side="right") - 1
        fresh = (last >= 0) & (moments - at[np.maximum(last, 0)] <= 2 * SCRAPE) if len(at) else last >= 0
        return np.where(fresh, values[np.maximum(last, 0)] if len(at) else np.nan, np.nan)


class Stored(Prometheus):
    """A Prometheus of these series, whose clock stands still."""

    def __init__(self, series: list[Scraped]) -> None:
        super().__init__("http://nobody.invalid")
        self.clock, self._series = 0.0, series

    def vector(self, query: str, at: datetime | None = None) -> list[Sample]:
        assert query == QUERY
        moment = np.array([at.timestamp() if at else self.clock])
        read = [(one.labels, float(one.seen(moment, self.clock)[0])) for one in self._series]
        return [Sample(labels, value) for labels, value in read if not np.isnan(value)]

    def matrix(self, query: str, start: datetime, step: timedelta, points: int) -> list[Track]:
        assert query == QUERY
        moments = start.timestamp() + step.total_seconds() * np.arange(points, dtype=np.float64)
        found = [Track(one.labels, one.seen(moments, self.clock)) for one in self._series]
        return [track for track in found if not np.isnan(track.values).all()]


def history(dice: np.random.Generator, began: float) -> list[Scraped]:
    """Of both models on two instances: restarts, failed scrapes, outages, samples that are stored late."""
    scrapes = int(STAGE.total_seconds() / SCRAPE) + 60
    at = began - 100 + SCRAPE * np.arange(scrapes, dtype=np.float64)
    made = []
    for instance in ("a", "b"):
        begins = 0 if instance == "a" else int(dice.integers(0, scrapes // 2))
        up = dice.random(scrapes) > 0.03
        out = int(dice.integers(0, scrapes))
        up[out : out + int(dice.integers(0, 30))] = False
        up[:begins] = False
        stored = at + np.where(dice.random(scrapes) < 0.05, dice.uniform(0, 90, scrapes), 0.0)
        restarts = dice.random(scrapes) < 0.005
        for model, rate in (("champion", 100), ("challenger", 8)):
            calls = dice.poisson(rate, scrapes)
            worse = model == "challenger" and at > began + STAGE.total_seconds() / 2
            bad = dice.binomial(calls, np.where(worse, 0.03, 0.01))
            for name, steps in (("calls_total", calls), ("bad_total", bad)):
                values = np.cumsum(steps).astype(np.float64)
                for restart in np.flatnonzero(restarts):
                    values[restart:] -= values[restart]
                there = up & ((values > 0) | (name == "calls_total"))  # no series before the first
                labels = {"__name__": name, "model": model, "instance": instance}
                made.append(Scraped(labels, at[there], stored[there], values[there]))
    return made


def judged(prometheus: Stored, grid: Grid, kept: Kept) -> list[Verdict]:
    last = prometheus.vector(QUERY, grid.now)
    counted = count_all(read_counters(prometheus, QUERY, grid, last, kept.counters))
    answers = Answers(counted=counted, query=QUERY, known=kept.evidence)
    found = []
    for guardrail in POLICY.of(Sequential):
        bad, total = guardrail.series[1], guardrail.series[0]
        found.append(Counting(guardrail, POLICY, grid, SeriesPlan(total, bad)).judge(answers))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_job_that_goes_on_decides_as_one_that_begins(seed: int) -> None:
    """At each new step of a stage; what was stored late is read by then."""
    dice = np.random.default_rng(seed)
    prometheus, kept = Stored(history(dice, NOW.timestamp())), Kept()
    looks = np.cumsum(dice.choice([15, 15, 15, 30, 120], 200))
    seen = set()
    for seconds in looks[looks < STAGE.total_seconds()].tolist():
        now = NOW + timedelta(seconds=25 + seconds + float(dice.uniform(0, 4)))
        prometheus.clock = now.timestamp()
        grid = fit_grid(STEP, timedelta(seconds=SCRAPE), NOW, now)
        assert isinstance(grid, Grid)
        for went_on, began in zip(
            judged(prometheus, grid, kept), judged(prometheus, grid, Kept()), strict=True
        ):
            assert went_on == began
            assert went_on.evidence == began.evidence
            assert went_on.path is not None
            assert began.path is not None
            assert went_on.path.tobytes() == began.path.tobytes()
            seen.add(went_on.status.value)
    assert len(seen) > 1
