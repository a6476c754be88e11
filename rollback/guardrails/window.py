"""How far back a query may look, and between which moments is counted: never before the stage.

A stage begins with the last change of the canary's share, strategy or environment, by whomever. Slow calls
from before belong to another exposure: a canary that was mended and started again is not to be rolled back
for them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

FEWEST_SCRAPES = 3  # a rate needs two; the third makes up for one that failed
SPAN = timedelta(minutes=10)  # in which calls are counted by bucket
MOST_STEPS = 12_000  # 50 h of 15 s


@dataclass(frozen=True)
class Window:
    """What a guardrail looks at: at each of `looks`, `span` ago until then."""

    span: timedelta
    looks: tuple[datetime, ...]
    """The moments at which the value is read, oldest first; one, unless the guardrail has a `for`."""


@dataclass(frozen=True)
class TooYoung:
    """There is no such window yet: the stage has lasted `age` and must last `needed`."""

    age: timedelta
    needed: timedelta


def fit_window(
    full: timedelta,
    hold: timedelta | None,
    scrape: timedelta,
    began: datetime | None,
    now: datetime,
) -> Window | TooYoung:
    """Clip a guardrail's window to the stage.

    The oldest look is `hold` ago, and its window must lie in the stage as well. One scrape interval is left
    out at the beginning of the stage: what was scraped there may still be the count of the stage before, for
    workers that had not yet heard of the change.

    Args:
        full: the window that the guardrail asks for.
        hold: its `for`; the looks are then three scrapes apart and reach back over all of it.
        scrape: the scrape interval.
        began: when the stage began; None if that is longer ago than anybody remembers: nothing is clipped.
        now: the time of the last look, by the clock of Prometheus.
    """
    looks = _looks(hold or timedelta(), FEWEST_SCRAPES * scrape, now)
    fewest = FEWEST_SCRAPES * scrape
    if began is None:
        return Window(full, looks)
    past = (now - looks[0]) + scrape
    age = now - began
    # Whole seconds: the same stage then gives the same query text for a second, and people can read it.
    room = timedelta(seconds=(age - past) // timedelta(seconds=1))
    if room < fewest:
        return TooYoung(age=age, needed=past + fewest)
    return Window(min(full, room), looks)


def _looks(hold: timedelta, step: timedelta, now: datetime) -> tuple[datetime, ...]:
    count = -(-hold // step)  # rounded up
    return tuple(now - back * step for back in range(count, -1, -1))


@dataclass(frozen=True)
class Grid:
    """The moments between which sequential guardrails count: whole steps from the beginning, then now."""

    start: datetime
    """Where counting begins."""
    step: timedelta
    whole: int
    """Number of whole steps; a last one, shorter than the others, reaches until `now`."""
    now: datetime

    @property
    def steps(self) -> int:
        """All steps, the last one too."""
        return self.whole + 1

    @property
    def span_steps(self) -> int:
        """Steps of a span, in which calls are counted by bucket."""
        return max(round(SPAN / self.step), 1)

    @property
    def spans(self) -> int:
        """Spans that are over."""
        return self.whole // self.span_steps

    @property
    def last(self) -> timedelta:
        """Length of the last step, perhaps nothing."""
        return self.now - self.start - self.whole * self.step

    def end(self, step: int) -> datetime:
        """The moment at which a step ends, counted from 0."""
        return self.now if step >= self.whole else self.start + (step + 1) * self.step


def fit_grid(step: timedelta, scrape: timedelta, began: datetime, now: datetime) -> Grid | TooYoung:
    """Lay steps over the stage, the same ones at each pass, so that what was counted once stays so.

    One scrape interval is left out at the beginning, as in `fit_window`. A stage of days would outgrow every
    answer of Prometheus, so the step is doubled until MOST_STEPS are enough. Its length matters only where
    the models' share of the calls changes within a step; the last one reaches until now, so that nothing is
    found later.

    Args:
        step: the length of a step in a stage that is not too long for it.
        scrape: the scrape interval.
        began: when the stage began.
        now: the time of the pass, by the clock of Prometheus.
    """
    start = began + scrape
    age = now - start
    if age < scrape:
        return TooYoung(age=now - began, needed=2 * scrape)
    while age // step > MOST_STEPS:
        step *= 2
    return Grid(start, step, age // step, now)
