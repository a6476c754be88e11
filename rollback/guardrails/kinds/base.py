"""What every guardrail has and can do, whatever its kind; and the kinds, by their names in a file.

A kind is one module beside this one, with one class under `@kind`. What it must have: fields, `ask` (what it
asks in one pass), a `Question` that judges the answers, and `judge_again` (the same from the evidence that is
kept). All else has a default: what a kind does not answer, simulation, backtest and forecast leave out.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

from pydantic import Field, model_validator

from common.arms import Signals
from common.config import StrictModel
from common.durations import format_duration
from common.names import JobMetric
from common.selector import Selector
from rollback.guardrails.kinds.question import Moment, Question, Terms
from rollback.guardrails.segments import Segment
from rollback.guardrails.verdict import Action, Status, Verdict
from rollback.guardrails.window import TooYoung
from rollback.simulate.detect import Sensor
from rollback.simulate.rules import Rule
from rollback.simulate.traffic import Behaviour


class By(StrEnum):
    """What is counted where a call is bad."""

    CALLS = "calls"
    USER_WINDOWS = "user-windows"
    """The first bad call of a user in ten minutes, so that calls that hang together are one witness."""


LACKS_USERS = "by calls, for want of the signal `user_windows`"
CLOCK_TOLERANCE = timedelta(seconds=30)  # more than clocks in order differ, less than a stage is worth


class Guardrail(StrictModel):
    """The fields that all kinds share, and what a kind answers for."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
    description: Annotated[str, Field(min_length=10, pattern=r"^[^\n]*$")]
    """Why the guardrail stands there, in one line."""
    action: Action
    kind: str

    chart: ClassVar[tuple[str, JobMetric, JobMetric]] = ("value", JobMetric.VALUE, JobMetric.LIMIT)
    """What a chart of it shows: a word, and the job's metrics of the line and of its limit."""

    @classmethod
    def form(cls, fields: Mapping[str, Any]) -> "type[Guardrail]":  # noqa: ARG003 - for kinds that have several
        """The class that these fields of a file mean, where a kind has several."""
        return cls

    def on(self, signals: Signals) -> Self:  # noqa: ARG002 - for kinds that name signals
        """The same with the series that the rollout's signals stand for.

        Raises:
            MissingSignal: the rollout does not have one of them.
        """
        return self

    @property
    def only_for(self) -> Segment | None:
        """The users whom it is about; None where that is all of them."""
        return None

    def each(self) -> "tuple[Self, ...]":
        """What it becomes where its file is read: itself, and one more for each of its segments."""
        return (self,)

    @model_validator(mode="after")
    def _excludes_somebody(self) -> Self:
        if self.action is Action.EXCLUDE and self.only_for is None:
            raise ValueError("exclude is an action of segments: write segments: {action: exclude, ...}")
        return self

    # What it asks, and how it judges.

    @property
    def edges_of(self) -> frozenset[str]:
        """Histograms whose edges must be known before it can ask: `Moment.known`."""
        return frozenset()

    @property
    def but_warm_up(self) -> bool:
        """Whether what is counted while the challenger warms up is left out: `Moment.warm_ups`."""
        return False

    @property
    def champion_of(self) -> frozenset[str]:
        """Histograms of which the champion's times must be known: `Moment.before` and `Moment.learnt`."""
        return frozenset()

    def ask(self, moment: Moment) -> Question | TooYoung:
        """What it asks in this pass; or that the stage is too young for it.

        Raises:
            NotYet: something must be known first.
            ValueError: it cannot be asked.
        """
        raise NotImplementedError

    def judge_again(self, evidence: Mapping[str, Any]) -> Verdict:
        """The verdict from its evidence alone.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        raise NotImplementedError

    # What the file's validation and people ask.

    def misfits(self, terms: Terms) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """Fields that do not fit the file around them, and why."""
        yield from ()

    @property
    def spends(self) -> float:
        """The part of the file's `alpha` that it uses up."""
        return 0.0

    @property
    def value_unit(self) -> str:
        """Of value and limit; see common.figures."""
        return "number"

    @property
    def measures(self) -> str:
        """What the value is, in words; "" where the description must say it."""
        return ""

    @property
    def fixed_limit(self) -> float | None:
        """None where the limit follows the champion."""
        return None

    @property
    def fewest_calls(self) -> int | None:
        """With fewer, the verdict is "no data"."""
        return None

    @property
    def below(self) -> bool:
        """Whether a value under the limit is beyond it."""
        return False

    # What simulation, backtest and forecast ask.

    def rule(self, terms: Terms, champion: Behaviour) -> Rule | None:  # noqa: ARG002
        """The same for made-up traffic; None where that has nothing of what it looks at.

        Args:
            terms: of the file.
            champion: how it behaved before the stage.
        """
        return None

    def sensor(self, terms: Terms) -> Sensor | None:  # noqa: ARG002
        """How small a regression it can detect, for the plan's forecast; None where it does not say."""
        return None

    @property
    def series(self) -> tuple[Selector, ...]:
        """The raw counters of all calls and of bad ones, if counts of these are all that it judges."""
        return ()

    @property
    def bad_is_wanted(self) -> bool:
        """Whether what `series` count as bad is what one wants, so that fewer are worse."""
        return False

    # A verdict without numbers.

    def unjudged(self, status: Status, sentence: str) -> Verdict:
        """A verdict that rests on no query."""
        return Verdict(
            guardrail=self.name,
            status=status,
            action=self.action,
            unit=self.value_unit,
            segment=str(self.only_for) if self.only_for else None,
            limit=self.fixed_limit,
            smallest_sample=self.fewest_calls,
            sentence=sentence,
            rests_on=lambda: {
                "kind": "none",
                "guardrail": self.as_written(),
                "status": status.value,
                "sentence": sentence,
            },
        )

    def too_young(self, stage: TooYoung, since: str | None = None) -> Verdict:
        """The verdict where the stage leaves nothing to look at; `since`: what else is young, in words."""
        if stage.age < -CLOCK_TOLERANCE:
            ahead = format_duration(-stage.age)
            told = f"Unleash says the stage began {ahead} ahead of the clock of Prometheus: set both clocks"
            return self.unjudged(Status.CANNOT_MEASURE, told)
        age, needed = max(int(stage.age.total_seconds()), 0), format_duration(stage.needed)
        sentence = f"the stage began {age} s ago and is judged from {needed} on"
        if since:
            sentence = f"{since} {age} s ago, and they are judged from {needed} on"
        return self.unjudged(Status.NO_DATA, sentence)

    def as_written(self) -> dict[str, Any]:
        """The fields as they stand in the file."""
        return self.model_dump(mode="json", by_alias=True)


KINDS: dict[str, type[Guardrail]] = {}
"""By what stands under `kind` in a file."""

Kind = TypeVar("Kind", bound=Guardrail)


def kind(made: type[Kind]) -> type[Kind]:
    """Makes a class a kind, by the value of its field `kind`, which is a literal."""
    for name in get_args(made.model_fields["kind"].annotation):
        KINDS[name] = made
    return made
