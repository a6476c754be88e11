"""Traffic of users: bad calls that hang together, since it is the same user, client or region that has them.

Users call at rates of their own, and are prone to bad calls in their own measure. The flag puts each into one
of a hundred buckets, and the first of these have the challenger. Bad calls are drawn one by one, good ones as
counts for each step and bucket.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollback.simulate.traffic import Arm, Behaviour, ByUser, Counted, Dice, Traffic, Values

BUCKETS: Final = 100  # of the flag's hash: users in bucket 1 have the challenger at 1%
WINDOW: Final = 600.0  # seconds by the clock, in which a user's bad calls count once
DAY: Final = 86_400.0
BAD: Final = 0.5  # chance that a retry of a bad call is bad again


@dataclass(frozen=True)
class Together:
    """How bad calls hang together.

    Attributes:
        users: how many there are; their rates are gamma with a coefficient of variation of 1.
        dispersion: of bad calls over buckets after 24 h, by how prone users are to them: beta.
        burst: calls of one burst, all bad and of one user.
        bursts_an_hour: of the whole service, beside the other bad calls.
        burst_seconds: how long a burst takes.
        client: bad calls of one user within two hours of each day, each day another user.
        retries: a bad call is tried again at most so many times, 5 s apart, until it is a good one.
        region: part of the users whose calls all fail ...
        region_minutes: ... for so long, once a day.
    """

    users: int = 20_000
    dispersion: float = 1.0
    burst: int = 0
    bursts_an_hour: float = 6.0
    burst_seconds: float = 0.0
    client: int = 0
    retries: int = 0
    region: float = 0.0
    region_minutes: float = 30.0


WORLDS: Final = {
    "independent": Together(),
    "dispersion-2": Together(dispersion=2),
    "dispersion-5": Together(dispersion=5),
    "dispersion-10": Together(dispersion=10),
    "dispersion-20": Together(dispersion=20),
    "bursts-10": Together(burst=10),
    "bursts-50": Together(burst=50, burst_seconds=300),
    "client": Together(client=7200),
    "retries": Together(dispersion=5, retries=10),
    "region": Together(dispersion=5, region=0.02),
}
"""By the names under which `./canario simulate --world` knows them."""

Events = tuple[NDArray[np.int64], Values]
"""Users, and seconds since the stage began, of bad calls."""
Turned = tuple[Values, float, float]
"""Calls that turn bad: how many a second of each user, from when on, and until when."""


@dataclass(frozen=True)
class Users:
    """The users of one rollout. Each array has one entry a user."""

    rate: Values
    """Calls a second."""
    prone: Values
    """Chance that a call is bad."""
    bucket: NDArray[np.int64]
    """From 0 on."""
    in_region: NDArray[np.bool_]


def draw_users(dice: Dice, together: Together, errors: float, calls_a_second: float) -> Users:
    """Draw users whose calls are bad in `errors` of all cases."""
    count = together.users
    mean = calls_a_second / count
    # Calls of a user in a day are a gamma mixture of Poisson: sum n(n-1) / sum n is twice their mean.
    correlation = (together.dispersion - 1) / (2 * mean * DAY)
    prone = np.full(count, errors)
    if correlation > 0:
        both = 1 / correlation - 1
        prone = dice.beta(errors * both, (1 - errors) * both, count)
    return Users(
        rate=dice.exponential(mean, count),
        prone=prone,
        bucket=dice.integers(0, BUCKETS, count),
        in_region=dice.random(count) < together.region,
    )


@dataclass(frozen=True)
class UserSource:
    """Where traffic of users comes from: two models, and who calls them."""

    together: Together
    users: Users
    champion: Behaviour
    challenger: Behaviour
    share: float
    """Of the buckets that have the challenger."""
    step: float
    """Seconds."""
    edges: Values
    """As of `traffic.useful_edges`."""

    def play(self, dice: Dice, steps: int, worse_after: int = 0) -> Traffic:
        """Draw a stage; the challenger is the champion's equal for its first `worse_after` steps."""
        shown = max(round(self.share * BUCKETS), 1)
        seconds = steps * self.step
        turned = [*self._turned(dice, seconds, worse_after * self.step, shown)]
        who, when = self._bad_calls(dice, seconds, turned)
        bad = _count(self.users.bucket[who], (when // self.step).astype(np.int64), steps)
        calls = dice.poisson(self._good(steps, turned)) + bad
        first = _first(who, when + dice.uniform(0, WINDOW))
        windows = _count(self.users.bucket[who[first]], (when[first] // self.step).astype(np.int64), steps)
        arms = (slice(shown, None), self.champion), (slice(shown), self.challenger)
        champion, challenger = (
            self._arm(dice, model, calls[:, its].sum(axis=1), bad[:, its].sum(axis=1), worse_after)
            for its, model in arms
        )
        of_users = ByUser(
            champion_bad=windows[:, shown:].sum(axis=1),
            challenger_bad=windows[:, :shown].sum(axis=1),
            calls=calls[:, shown:],
            bad=windows[:, shown:],
            span=max(round(WINDOW / self.step), 1),
        )
        return Traffic(champion, challenger, self.edges, of_users)

    def _arm(self, dice: Dice, model: Behaviour, calls: Counted, bad: Counted, worse_after: int) -> Arm:
        """Calls are slow by themselves, bad ones as well as good ones."""
        slower = []
        left, before = calls, np.ones(len(calls))
        for edge in self.edges.tolist():
            chance = np.full(len(calls), model.beyond(edge))
            chance[:worse_after] = self.champion.beyond(edge)
            left = dice.binomial(left, np.divide(chance, before, out=np.zeros_like(chance), where=before > 0))
            slower.append(left)
            before = chance
        return Arm(calls, bad, np.stack(slower, axis=1) if slower else np.zeros((len(calls), 0), np.int64))

    def _turned(self, dice: Dice, seconds: float, worse_after: float, shown: int) -> Iterator[Turned]:
        users, together = self.users, self.together
        if self.challenger.errors != self.champion.errors:
            times = self.challenger.errors / self.champion.errors
            more = np.minimum(times * users.prone, 1) - users.prone
            yield np.where(users.bucket < shown, users.rate * more, 0), worse_after, seconds
        lasts = 60 * together.region_minutes
        for day in range(int(np.ceil(seconds / DAY)) if together.region else 0):
            begins = day * DAY + dice.uniform(0, DAY - lasts)
            more = np.where(users.in_region, users.rate * (1 - users.prone), 0)
            yield more, min(begins, seconds), min(begins + lasts, seconds)

    def _good(self, steps: int, turned: list[Turned]) -> Values:
        """How many good calls are expected in each step and bucket."""
        users, begins = self.users, self.step * np.arange(steps)
        good = np.bincount(users.bucket, users.rate * (1 - users.prone), BUCKETS) * self.step
        expected = np.repeat(good[None, :], steps, axis=0)
        for rates, begin, end in turned:
            inside = np.minimum(begins + self.step, end) - np.maximum(begins, begin)
            expected -= np.outer(np.maximum(inside, 0), np.bincount(users.bucket, rates, BUCKETS))
        return np.maximum(expected, 0)

    def _bad_calls(self, dice: Dice, seconds: float, turned: list[Turned]) -> Events:
        users, together = self.users, self.together
        found = [_poisson(dice, users.rate * users.prone, 0, seconds)]
        found += [_poisson(dice, *each) for each in turned]
        if together.burst:
            count = dice.poisson(together.bursts_an_hour * seconds / 3600)
            who = np.repeat(dice.integers(0, together.users, count), together.burst)
            begun = np.repeat(dice.uniform(0, seconds, count), together.burst)
            found.append((who, begun + dice.uniform(0, max(together.burst_seconds, 1), len(who))))
        for day in range(int(np.ceil(seconds / DAY)) if together.client else 0):
            begins = day * DAY + dice.uniform(0, DAY - 7200)
            who = np.full(together.client, dice.integers(together.users))
            found.append((who, begins + dice.uniform(0, 7200, together.client)))
        if together.retries:
            found += _retries(dice, found, together.retries)
        who, when = (np.concatenate(each) for each in zip(*found, strict=True))
        inside = when < seconds
        return who[inside], when[inside]


def _poisson(dice: Dice, rates: Values, begins: float, ends: float) -> Events:
    who = np.repeat(np.arange(len(rates)), dice.poisson(rates * max(ends - begins, 0)))
    return who, dice.uniform(begins, max(ends, begins), len(who))


def _retries(dice: Dice, found: list[Events], most: int) -> list[Events]:
    """Bad calls that are tried again, for those that are bad again."""
    who, when = (np.concatenate(each) for each in zip(*found, strict=True))
    again = []
    for _ in range(most):
        bad = dice.random(len(who)) < BAD
        who, when = who[bad], when[bad] + 5
        again.append((who, when))
    return again


def _count(bucket: NDArray[np.int64], step: NDArray[np.int64], steps: int) -> Counted:
    """How many in each step and bucket."""
    return np.bincount(step * BUCKETS + bucket, minlength=steps * BUCKETS).reshape(steps, BUCKETS)


def _first(who: NDArray[np.int64], clock: Values) -> NDArray[np.int64]:
    """Which bad calls are the first of their user in a window of the clock."""
    window = (clock // WINDOW).astype(np.int64)
    order = np.argsort(clock, kind="stable")
    key = who[order] * (window.max(initial=0) + 1) + window[order]
    _, first = np.unique(key, return_index=True)
    return order[first]
