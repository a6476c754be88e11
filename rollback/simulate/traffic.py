"""Synthetic traffic: what the service's counters would count, step by step, for models that one invents.

Calls come as a Poisson process, each is bad or slow by itself, and a share of them goes to the challenger.
Drawn as counts for each step and bucket, never call by call.
"""

from dataclasses import dataclass, replace
from functools import reduce
from math import log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from common.names import latency_buckets
from rollback.guardrails.warm_up import PART_OF_ALL, Steps, bounded, warm_steps

Counted = NDArray[np.int64]
Values = NDArray[np.float64]
Dice = np.random.Generator

EDGES = np.array(latency_buckets())
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Behaviour:
    """How a model answers: latencies are lognormal, shifted by `added`."""

    median: float
    """Seconds."""
    sigma: float
    """Of the latency's logarithm: 0.6 is a p99 of four times the median, 1 of ten times."""
    errors: float
    """Share of calls that fail."""
    added: float = 0.0
    """Seconds on top of every call."""

    def worse(self, *, errors: float = 1.0, slower: float = 1.0, added: float = 0.0) -> "Behaviour":
        """The same, with so many times the errors and the latency, and so many seconds added."""
        return replace(
            self,
            errors=min(self.errors * errors, 1.0),
            median=self.median * slower,
            added=self.added + added,
        )

    def quantile(self, share: float) -> float:
        """The latency in seconds that `share` of the calls do not exceed."""
        return self.added + self.median * float(np.exp(self.sigma * _NORMAL.inv_cdf(share)))

    def beyond(self, edge: float) -> float:
        """The chance that a call takes longer than `edge` seconds."""
        if edge <= self.added:
            return 1.0
        return _NORMAL.cdf(-log((edge - self.added) / self.median) / self.sigma)


@dataclass(frozen=True)
class Bursts:
    """Bad calls that come together, so that they are no independent witnesses."""

    size: int
    """Calls of one burst; all of them fail, and take longer than any edge."""
    an_hour: float
    """Bursts an hour, of the whole service."""
    one_user: bool
    """All calls of a burst go to the same model (a user who tries again), or each to its own (a hiccup)."""


@dataclass(frozen=True)
class Arm:
    """What one model did in each step."""

    calls: Counted
    """(steps,)"""
    errors: Counted
    """(steps,)"""
    slower: Counted
    """Calls slower than each of the traffic's edges, (steps, edges)."""

    def with_bad(self, calls: Counted) -> "Arm":
        """The same with so many more calls in each step that failed and were slow."""
        return Arm(self.calls + calls, self.errors + calls, self.slower + calls[:, None])

    def where(self, counts: NDArray[np.bool_]) -> "Arm":
        """The same with nothing in the other steps."""
        return Arm(self.calls * counts, self.errors * counts, self.slower * counts[:, None])

    def and_also(self, other: "Arm") -> "Arm":
        """Both together."""
        return Arm(self.calls + other.calls, self.errors + other.errors, self.slower + other.slower)

    def then(self, later: "Arm") -> "Arm":
        """This and what came after it."""
        return Arm(
            np.concatenate((self.calls, later.calls)),
            np.concatenate((self.errors, later.errors)),
            np.concatenate((self.slower, later.slower)),
        )


@dataclass(frozen=True)
class ByUser:
    """What is counted by user: bad user-windows, the first bad call of each user in each ten minutes."""

    champion_bad: Counted
    """(steps,)"""
    challenger_bad: Counted
    """(steps,)"""
    calls: Counted
    """All calls of the champion, by bucket of the flag's hash, (steps, buckets)."""
    bad: Counted
    """The champion's bad user-windows by bucket, (steps, buckets)."""
    span: int
    """Steps of ten minutes."""


@dataclass(frozen=True)
class Instance:
    """What both models did in one instance of the service."""

    champion: Arm
    challenger: Arm
    starts: Steps
    """In which steps it was started."""


@dataclass(frozen=True)
class Traffic:
    """What both models did in each step of a stage."""

    champion: Arm
    challenger: Arm
    edges: Values
    """Edges of the service's buckets, in seconds; only those that matter to these models."""
    by_user: ByUser | None = None
    """Of traffic that has users."""
    instances: tuple[Instance, ...] = ()
    """All of it, by instance, where these start anew within the stage."""
    since: Counted | None = None
    """The first step that counts, at each step that looks back; None where all do, (steps,)."""

    def but_warm_up(self, after: int) -> "Traffic":
        """The same without what each instance did in the `after` steps after its starts."""
        if not self.instances or not after:
            return self
        kept = [~bounded(warm_steps(one.starts, after), after) for one in self.instances]
        arms = [
            (one.champion.where(steps), one.challenger.where(steps))
            for one, steps in zip(self.instances, kept, strict=True)
        ]
        champion, challenger = (reduce(Arm.and_also, each) for each in zip(*arms, strict=True))
        return replace(self, champion=champion, challenger=challenger)

    def after_warm_up(self, after: int) -> "Traffic":
        """The same for who looks back no further than to the last warm-up's end."""
        if not self.instances or not after:
            return self
        warm = np.any([warm_steps(one.starts, after) for one in self.instances], axis=0)
        over = np.maximum.accumulate(np.where(warm, np.arange(1, len(warm) + 1), 0))
        return replace(self, since=np.where(bounded(warm, after, PART_OF_ALL)[over - 1], over, 0))

    def reach(self, window: int) -> int | Counted:
        """How many steps a look at each step takes in, of a window of so many."""
        if self.since is None:
            return window
        steps: Counted = np.minimum(window, np.arange(1, len(self.since) + 1) - self.since)
        return steps

    def then(self, later: "Traffic") -> "Traffic":
        """This and what came after it."""
        return Traffic(self.champion.then(later.champion), self.challenger.then(later.challenger), self.edges)


def useful_edges(models: tuple[Behaviour, ...], wanted: tuple[float, ...]) -> Values:
    """Edges around and above the p99 of `models`, and those that are `wanted`; to draw the others is idle."""
    low = min(model.quantile(0.95) for model in models)
    lowest = int(np.searchsorted(EDGES, low)) - 1  # below it, so that a p99 next to it has a bucket
    likely = [edge for edge in EDGES.tolist() if max(model.beyond(edge) for model in models) > 1e-10]
    highest = len(likely) + 1
    return np.array(sorted({*EDGES[max(lowest, 0) : highest].tolist(), *wanted}))


@dataclass(frozen=True)
class Source:
    """Where traffic comes from: two models, and how many calls they get."""

    champion: Behaviour
    challenger: Behaviour
    share: float
    """Of all calls that go to the challenger."""
    calls_a_second: float
    """Of both together."""
    step: float
    """Seconds."""
    edges: Values
    """As of `useful_edges`."""
    bursts: Bursts | None = None

    def play(self, dice: Dice, steps: int) -> Traffic:
        """Draw so many steps."""
        champion = self._arm(dice, self.champion, 1 - self.share, steps)
        challenger = self._arm(dice, self.challenger, self.share, steps)
        if self.bursts:
            bursts = dice.poisson(self.bursts.an_hour * self.step / 3600, steps)
            size = self.bursts.size
            if self.bursts.one_user:
                mine = size * dice.binomial(bursts, self.share)
            else:
                mine = dice.binomial(size * bursts, self.share)
            challenger, champion = challenger.with_bad(mine), champion.with_bad(size * bursts - mine)
        return Traffic(champion, challenger, self.edges)

    def _arm(self, dice: Dice, model: Behaviour, share: float, steps: int) -> Arm:
        beyond = np.array([1.0, *(model.beyond(edge) for edge in self.edges.tolist())])
        inside = np.append(beyond[:-1] - beyond[1:], beyond[-1]).clip(0)
        # Numbers of calls by bucket are independent of each other where calls come as a Poisson process.
        buckets = dice.poisson(self.calls_a_second * self.step * share * inside, (steps, len(inside)))
        slower = buckets[:, ::-1].cumsum(axis=1)[:, ::-1]
        calls = slower[:, 0]
        return Arm(calls, dice.binomial(calls, model.errors), slower[:, 1:])
