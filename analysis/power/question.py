"""What is asked before a test, what a log says of it, and what follows for time and effect."""

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from functools import cached_property
from typing import Final, NamedTuple

from analysis.abtest import measure
from analysis.errors import AnalysisError, LogError
from analysis.log import Log
from analysis.metric import Metric
from analysis.render.words import Unit
from analysis.statistics.arrivals import Arrivals
from analysis.statistics.effect import Sample
from analysis.statistics.power import Design, Need, need, smallest_effect
from analysis.users import Period, in_test

_TICK = timedelta(microseconds=1)
USUAL_DAYS: Final = (7, 14, 28, 56)


class Findable(NamedTuple):
    """What a time can find.

    Attributes:
        days: of the time.
        users: different ones who come in it.
        change: the smallest that they find; None: none.
    """

    days: float
    users: float
    change: float | None


@dataclass(frozen=True)
class PowerQuestion:
    """What is asked, and what follows.

    Attributes:
        design: of the test.
        effect: smallest change that must not be missed, above 0; None: only what can be found is asked.
        arrivals: of new users; None: not known.
        window: how long an outcome counts; a test takes so much longer.
        days: a number of days to tell the smallest change for.
        sources: where figures come from, for the method.
        today: the day that days are counted from.
    """

    design: Design
    effect: float | None
    arrivals: Arrivals | None = None
    window: timedelta = timedelta()
    days: float | None = None
    sources: tuple[str, ...] = ()
    today: date = date(1970, 1, 1)

    @cached_property
    def needed(self) -> Need | None:
        """Users to find the effect; None where none is asked. Raises ValueError where it is impossible."""
        return need(self.design, self.effect) if self.effect else None

    @property
    def days_needed(self) -> float | None:
        """Until they have come; infinite where they never do; None where arrivals are not known."""
        return self.arrivals.days_until(self.needed.total) if self.arrivals and self.needed else None

    @cached_property
    def findable(self) -> tuple[Findable, ...]:
        """What usual times, and the one that is asked about, can find."""
        days = {*USUAL_DAYS, *([self.days] if self.days else [])}
        return tuple(self.found_in(each) for each in sorted(days)) if self.arrivals else ()

    def found_in(self, days: float) -> Findable:
        """What so many days can find."""
        users, share = self.arrivals.users_after(days) if self.arrivals else 0.0, self.design.share
        return Findable(days, users, smallest_effect(self.design, users * (1 - share), users * share))

    @property
    def unit(self) -> Unit:
        """How to write the measure."""
        return Unit(self.design.kind, self.effect or 0.1 * self.design.baseline)


def traffic(log: Log, window: timedelta, segment: tuple[str, str] | None) -> tuple[Period, Arrivals]:
    """The whole time of the log, and how different users came in it.

    Raises:
        LogError: there is no user in it.
    """
    first, last = log.survey.first, log.survey.last
    if first is None or last is None:
        raise LogError("the log holds no record")
    period = Period(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC) + _TICK, window, segment)
    arrived = measure.arrived(log, log.keep(in_test(log, period)), period)
    users = [sum(pair) for pair in zip(arrived.champion, arrived.challenger, strict=True)]
    if not sum(arrived.users):
        raise LogError("the log holds no request of a user" + (" of that segment" if segment else ""))
    return period, Arrivals.seen(arrived.days, users)


def level(log: Log, metric: Metric, period: Period) -> Sample:
    """The measure of the champion's users who were watched for the whole window.

    Raises:
        AnalysisError: nobody was watched for the whole window, or nobody had the outcome.
    """
    came_before = period.until - period.window
    if came_before <= period.since:
        raise AnalysisError(
            "the log is shorter than the window in which an outcome counts; take a shorter --window, "
            "or say --baseline yourself"
        )
    users = measure.until(in_test(log, period), came_before)
    arm = measure.measured(log, metric, period, users).champion.sample
    if arm.users < 2 or arm.mean == 0:
        raise AnalysisError(
            f"of {arm.users} users of the champion nobody has the outcome {metric.outcome!r}: is that its "
            "name in the feedback?"
        )
    return arm
