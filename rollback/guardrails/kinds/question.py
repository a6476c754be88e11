"""What a guardrail asks in one pass, what it knows when it asks, and what the answers are. Pure."""

from collections.abc import Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from common import e_process
from common.arms import Arms
from common.config import StrictModel
from common.durations import Duration, format_duration, parse_duration
from common.e_process import Known
from rollback.guardrails.counts import Counted
from rollback.guardrails.edges import Buckets
from rollback.guardrails.verdict import Verdict
from rollback.guardrails.warm_up import WarmUps
from rollback.guardrails.window import Grid, TooYoung


class LateStart(StrictModel):
    """Evidence that also begins anew now and then, so that a regression late in the stage is found too."""

    every: Duration
    starts: Annotated[int, Field(ge=1, le=1000)]
    weight: Annotated[float, Field(gt=0, lt=1)]

    def in_steps(self, step: timedelta) -> e_process.LateStart:
        """The same for counts in steps of that length."""
        return _late_start(max(round(self.every / step), 1), self.starts, self.weight)


_late_start = lru_cache(maxsize=256)(e_process.LateStart)  # its weights are worked out once


def _or_none(given: object) -> timedelta:
    return timedelta() if given in (0, "0", "0s") else parse_duration(given)


WarmUp = Annotated[
    timedelta,
    BeforeValidator(_or_none),
    PlainSerializer(format_duration),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"const": 0}]}),
]


class Terms(StrictModel):
    """What a file of guardrails says for all of them."""

    scrape_interval: Duration
    """How often Prometheus scrapes the service."""
    step: Duration = timedelta(seconds=15)
    """Of the counts that sequential guardrails weigh, from the stage's beginning on."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Chance per stage that equal models are rolled back by sequential guardrails, all of them together."""
    late_start: LateStart | None = None
    warm_up: WarmUp = timedelta(minutes=2)
    """After each start of the challenger; left out of comparisons of latency. 0: nothing is."""
    cannot_measure_for: Duration = timedelta(minutes=5)
    """For how long nothing may be measured before that is an alert."""


class NotYet(Exception):  # noqa: N818 - no fault of anybody
    """There is no telling yet; the text says why."""


@dataclass(frozen=True)
class Reading:
    """What one query gave at each look, oldest first."""

    query: str
    """The query as it was asked, to be pasted into Prometheus."""
    points: tuple[float | None, ...]
    """One number a look; None where the query gave no series. NaN and infinities are left as they are."""
    fault: str | None = None
    """Why the query could not be asked; there are no points then."""


@dataclass(frozen=True)
class Moment:
    """What a pass knows when guardrails say what they ask."""

    terms: Terms
    now: datetime
    """By the clock of Prometheus."""
    since: datetime | None
    """No query may look further back; None where the stage is older than any window."""
    grid: Grid | TooYoung
    """The steps of the stage."""
    known: Mapping[str, Buckets]
    """By histogram: its buckets now, of both models; only their edges mean something."""
    before: Mapping[str, Buckets]
    """By histogram: the champion's calls in the hour before the stage."""
    learnt: Mapping[str, tuple[Buckets, datetime]]
    """By histogram: the champion's first calls in the stage and the moment after them, of those with too few
    calls before."""
    arms: Arms
    """Whose series are asked for."""
    whole: frozenset[str] = frozenset()
    """Histograms that are there without buckets: native ones, and summaries."""
    kept_out: frozenset[str] = frozenset()
    """Segments whose users the flag keeps with the champion, as country=NO."""
    warm_ups: WarmUps | None = None
    """Of the challenger; None where nothing is to be left out."""


@dataclass(frozen=True)
class Answers:
    """What a question brought."""

    readings: Sequence[Reading] = ()
    """One for each of its queries."""
    counted: Sequence[Counted] = ()
    """The raw counters that were asked for, of all guardrails, as counts in each step."""
    by_bucket: Sequence[Counted] = ()
    """The same of counters by bucket, as counts in each span of the grid that is over."""
    query: str = ""
    """The selector that gave those."""
    known: MutableMapping[str, Known] = field(default_factory=dict)
    """By guardrail, what its evidence came to before; `judge` may keep something there."""


class Question:
    """What one guardrail asks in one pass: numbers at some moments, or raw counters over the stage.

    The pass asks those of all guardrails together, in few requests. Numbers at one moment come first, then
    counters, then numbers at several moments.
    """

    @property
    def queries(self) -> Sequence[str]:
        """PromQL, each of which gives one number."""
        return ()

    @property
    def looks(self) -> tuple[datetime, ...]:
        """The moments at which they are asked, oldest first; several are three scrapes apart."""
        return ()

    @property
    def names(self) -> Set[str]:
        """Of raw counters."""
        return frozenset()

    @property
    def by_bucket(self) -> Set[str]:
        """Names of raw counters by bucket of the flag's hash, of which the champion's are read in spans."""
        return frozenset()

    @property
    def les(self) -> Set[str]:
        """Values of the label `le`, of those that are buckets."""
        return frozenset()

    def judge(self, answers: Answers) -> Verdict:
        """The verdict, with its evidence."""
        raise NotImplementedError
