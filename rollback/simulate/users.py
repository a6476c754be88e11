"""Traffic of users: bad calls that hang together, since it is the same user, client or region that has them.

Users call at rates of their own, and are prone to bad calls in their own measure. The flag puts each into one
of a hundred buckets, and the first of these have the challenger. Bad calls are drawn one by one, good ones as
counts for each step and bucket.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollback.simulate.traffic import Arm, Behaviour, ByUser, Counted, Dice, Instance, Traffic, Values

BUCKETS: Final = 100  # of the flag's hash: users in bucket 1 have the challenger at 1%
WINDOW: Final = 600.0  # seconds by the clock, in which a user's bad calls count once
DAY: Final = 86_400.0
COLD: Final = 120.0  # seconds after a start
STAGGER: Final = 60.0  # seconds between the starts of two instances
SLOWER: Final = 3.0  # times, for users to whom the challenger is slow
PERIOD, BAD_SECONDS = 1200.0, 30.0  # of bad minutes
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
        instances: of the service, that are started as the stage begins and once a day, a minute apart.
        cold: how many times slower the challenger is for two minutes after a start.
        both_cold: so is the champion.
        slow_users: part of the challenger's calls, those of users to whom it is three times slower.
        bad_minutes: share of the challenger's calls that are bad for half a minute of every twenty.
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
    instances: int = 0
    cold: float = 1.0
    both_cold: bool = False
    slow_users: float = 0.0
    bad_minutes: float = 0.0

    @property
    def harms(self) -> bool:
        """Whether the challenger is worse in this world, so that to roll it back is right."""
        return bool(self.slow_users or self.bad_minutes)


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
    "cold-starts-2": Together(instances=4, cold=2),
    "cold-starts-3": Together(instances=4, cold=3),
    "deployments": Together(instances=4, cold=2, both_cold=True),
    "slow-users": Together(slow_users=0.05),
    "periodic": Together(bad_minutes=0.05),
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
        counted = [
            (calls[:, its].sum(axis=1), bad[:, its].sum(axis=1)) for its in (slice(shown, None), slice(shown))
        ]
        instances = tuple(self._instances(dice, counted, worse_after))
        if instances:
            champion, challenger = (
                reduce(Arm.and_also, each)
                for each in zip(*((one.champion, one.challenger) for one in instances), strict=True)
            )
        else:
            champion, challenger = self._arms(dice, counted, np.zeros(steps), worse_after)
        of_users = ByUser(
            champion_bad=windows[:, shown:].sum(axis=1),
            challenger_bad=windows[:, :shown].sum(axis=1),
            calls=calls[:, shown:],
            bad=windows[:, shown:],
            span=max(round(WINDOW / self.step), 1),
        )
        return Traffic(champion, challenger, self.edges, of_users, instances)

    def _instances(
        self, dice: Dice, counted: list[tuple[Counted, Counted]], worse_after: int
    ) -> Iterator[Instance]:
        """Calls and bad ones of champion and challenger, by lot among instances that start anew."""
        number = self.together.instances
        if not number:
            return
        steps = len(counted[0][0])
        begins = np.array([0, *(day * DAY + dice.uniform(0, DAY) for day in range(self._days(steps)))])
        even = np.full(number, 1 / number)
        parts = [(dice.multinomial(calls - bad, even), dice.multinomial(bad, even)) for calls, bad in counted]
        for each in range(number):
            mine = begins + each * STAGGER
            mine = mine[mine < steps * self.step]
            starts = np.zeros(steps, np.bool_)
            starts[(mine // self.step).astype(np.int64)] = True
            its = [(good[:, each] + bad[:, each], bad[:, each]) for good, bad in parts]
            yield Instance(*self._arms(dice, its, self._cold(mine, steps), worse_after), starts)

    def _cold(self, begins: Values, steps: int) -> Values:
        """The part of each step in which an instance is cold."""
        step = self.step * np.arange(steps)[:, None]
        inside = np.minimum(step + self.step, begins + COLD) - np.maximum(step, begins)
        part: Values = np.minimum(np.maximum(inside, 0).sum(axis=1) / self.step, 1)
        return part

    def _days(self, steps: int) -> int:
        return int(np.ceil(steps * self.step / DAY))

    def _arms(
        self, dice: Dice, counted: list[tuple[Counted, Counted]], cold: Values, worse_after: int
    ) -> tuple[Arm, Arm]:
        """Champion and challenger from their calls and bad ones; `cold`: the part of each step."""
        champion, challenger = counted
        usual, times = self._beyond(self.champion), self.together.cold
        both = times if self.together.both_cold else 1.0
        theirs = _mixed(cold, usual, self._beyond(self.champion.worse(slower=both)))
        mine = self._beyond(self.challenger.worse(slower=times))
        mine = _mixed(cold, self._beyond(self.challenger), mine)
        if part := self.together.slow_users:
            mine = (1 - part) * mine + part * self._beyond(self.challenger.worse(slower=SLOWER))
        mine[:worse_after] = usual
        return self._arm(dice, theirs, *champion), self._arm(dice, mine, *challenger)

    def _beyond(self, model: Behaviour) -> Values:
        """The chance that a call is slower than each edge, (edges,)."""
        return np.array([model.beyond(edge) for edge in self.edges.tolist()])

    def _arm(self, dice: Dice, chances: Values, calls: Counted, bad: Counted) -> Arm:
        """Calls are slow by themselves, bad ones as well as good ones; `chances`: (steps, edges)."""
        slower = []
        left, before = calls, np.ones(len(calls))
        for chance in chances.T:
            left = dice.binomial(left, np.divide(chance, before, out=np.zeros_like(chance), where=before > 0))
            slower.append(left)
            before = chance
        return Arm(calls, bad, np.stack(slower, axis=1) if slower else np.zeros((len(calls), 0), np.int64))

    def _turned(self, dice: Dice, seconds: float, worse_after: float, shown: int) -> Iterator[Turned]:
        users, together = self.users, self.together
        if together.bad_minutes:
            more = np.maximum(together.bad_minutes - users.prone, 0)
            more = np.where(users.bucket < shown, users.rate * more, 0)
            for begins in np.arange(dice.uniform(0, PERIOD), seconds, PERIOD).tolist():
                yield more, begins, min(begins + BAD_SECONDS, seconds)
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


def _mixed(part: Values, one: Values, other: Values) -> Values:
    """Chances in each step, of which `part` is as the other; (steps, edges)."""
    return (1 - part)[:, None] * one + part[:, None] * other


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
