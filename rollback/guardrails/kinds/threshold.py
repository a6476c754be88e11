"""A guardrail of kind `threshold` compares one number from PromQL with a limit.

Its queries are templates: rollback/guardrails/kinds/template.py.

What single looks make of a number: no series is a broken measurement, because what was never counted is not
zero; NaN (nothing divided by nothing) is no data; an infinity (something divided by nothing) contradicts a
sample that is large enough, so that is a broken measurement too; a value at the limit is not beyond it. It is
a breach where the value is beyond the limit, and was so at every look of the guardrail's `for`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat

from common.arms import Arms, Signals
from common.durations import Duration, format_duration
from common.figures import Unit, in_unit
from rollback.guardrails.effect import Effect
from rollback.guardrails.kinds.base import LACKS_USERS, By, Guardrail, kind
from rollback.guardrails.kinds.question import Answers, Moment, NotYet, Question, Reading, Terms
from rollback.guardrails.kinds.template import Template, by_users, named, of_champion, playable, render
from rollback.guardrails.verdict import Status, Verdict
from rollback.guardrails.warm_up import NOTHING, LeftOut, steps_of
from rollback.guardrails.window import FEWEST_SCRAPES, TooYoung, Window, fit_window
from rollback.simulate.rules import Compared, Rule, fewer_calls
from rollback.simulate.traffic import Behaviour, Traffic, Values

_NO_SERIES = ": are its names right, and does the service export them?"


class Direction(StrEnum):
    """The side of the limit on which a guardrail is breached; a value at the limit is not beyond it."""

    ABOVE = "above"
    BELOW = "below"


@kind
class Threshold(Guardrail):
    """One number against one limit."""

    kind: Literal["threshold"]
    value: Template
    """PromQL that gives one number, in the unit of `limit`."""
    direction: Direction
    limit: FiniteFloat
    unit: Unit = "number"
    """Of value and limit, for people: seconds, share (told in per cent), times, or a plain number."""
    hold: Annotated[Duration | None, Field(alias="for")] = None
    """How long the value must have been beyond the limit, at every look; at once when absent."""
    by: By = By.CALLS
    """`user-windows`: {errors of ...} in `value` is counted once a user in ten minutes, where the rollout's
    service tells that."""
    by_calls_above: Annotated[float, Field(gt=0)] | None = None
    """A value by calls above this counts all the same: then it is hardly one user."""
    by_users: Template | None = None
    """The query that is asked then in place of `value`; the job makes it."""
    after_warm_up: bool = False
    """Whether the window begins after the challenger's last warm-up, as a comparison of latency should."""
    window: Duration
    """{window}, once the stage is old enough for it."""
    sample: Template
    """PromQL that gives the number of calls on which the value rests."""
    smallest_sample: Annotated[int, Field(ge=1)]
    """With fewer calls than this the verdict is "no data"."""

    def is_breached_by(self, value: float) -> bool:
        """Tell whether a finite `value` lies beyond the limit."""
        return value < self.limit if self.below else value > self.limit

    def on(self, signals: Signals) -> Self:
        series = {"value": named(self.value, signals), "sample": named(self.sample, signals)}
        if self.by is By.USER_WINDOWS and signals.user_windows:
            series["by_users"] = named(by_users(self.value), signals)
        return self.model_copy(update=series)

    @property
    def asked(self) -> str:
        """The query for the value."""
        if self.by_users and self.by_calls_above is not None:
            return f"(({self.value}) > {self.by_calls_above:g}) or ({self.by_users})"
        return self.by_users or self.value

    @property
    def counted(self) -> str:
        """What is counted, as the end of a sentence, where that is not calls."""
        if self.by is By.CALLS:
            return ""
        if not self.by_users:
            return f", {LACKS_USERS}"
        beyond = self.by_calls_above
        unless = "" if beyond is None else f" unless more than {in_unit(beyond, self.unit)} of the calls"
        return f", each user once in 10 minutes{unless}"

    def misfits(self, terms: Terms) -> Iterator[tuple[str, str]]:
        least = FEWEST_SCRAPES * terms.scrape_interval
        if self.window < least:
            text = f"is shorter than {FEWEST_SCRAPES} scrapes ({format_duration(least)})"
            yield "window", f"the window of {self.name} {text}"

    @property
    def but_warm_up(self) -> bool:
        return self.after_warm_up

    @property
    def value_unit(self) -> str:
        return self.unit

    @property
    def fixed_limit(self) -> float:
        return self.limit

    @property
    def fewest_calls(self) -> int:
        return self.smallest_sample

    @property
    def below(self) -> bool:
        return self.direction is Direction.BELOW

    def ask(self, moment: Moment) -> "Look | TooYoung":
        def fit(since: datetime | None) -> Window | TooYoung:
            return fit_window(self.window, self.hold, moment.terms.scrape_interval, since, moment.now)

        window, left_out = fit(moment.since), NOTHING
        if isinstance(window, TooYoung):
            return window
        if self.but_warm_up and moment.warm_ups:
            left_out, over = moment.warm_ups.told, moment.warm_ups.over
            if over and (moment.since is None or over > moment.since):
                window = fit(over)
            if isinstance(window, TooYoung):
                needed = format_duration(window.needed)
                raise NotYet(f"{left_out}; it is judged again once {needed} have passed since")
        return Look(self, window, moment.arms, left_out)

    def judge_again(self, evidence: Mapping[str, Any]) -> Verdict:
        looks = tuple(datetime.fromisoformat(look) for look in evidence["looks"])
        return Measurement(
            self,
            Window(timedelta(seconds=evidence["window_seconds"]), looks),
            left_out=LeftOut.read(left_out) if (left_out := evidence.get("warm_up")) else NOTHING,
            value=Reading(evidence["value_query"], _read(evidence["values"]), evidence["fault"]),
            sample=Reading(evidence["sample_query"], _read(evidence["samples"])),
        ).judge()

    def rule(self, terms: Terms, champion: Behaviour) -> Rule | None:  # noqa: ARG002 - counts are enough
        window = self.window // terms.step
        found = playable(self.by_users or self.value, window)
        if found is None:
            return None
        metric, value = found
        by_calls = playable(self.value, window)
        if self.by_users and self.by_calls_above is not None and by_calls:
            value = partial(_unless_above, self.by_calls_above, by_calls[1], value)
        judge = Compared(
            value=value,
            sample=partial(fewer_calls, window=window, both="".join(self.sample.split()).startswith("min(")),
            limit=self.limit,
            above=not self.below,
            smallest_sample=self.smallest_sample,
            looks=1 + (self.hold or timedelta()) // terms.step,
        )
        after = steps_of(terms.warm_up, terms.step) if self.but_warm_up else 0
        return Rule(self.name, lambda traffic: judge(traffic.after_warm_up(after)), metric)


def _unless_above(
    limit: float,
    by_calls: Callable[[Traffic], Values],
    by_users: Callable[[Traffic], Values],
    traffic: Traffic,
) -> Values:
    calls = by_calls(traffic)
    with np.errstate(invalid="ignore"):
        return np.where(calls > limit, calls, by_users(traffic))


@dataclass(frozen=True)
class Look(Question):
    """Value and sample over one window, at each of its looks."""

    guardrail: Threshold
    window: Window
    arms: Arms
    left_out: LeftOut = NOTHING

    @property
    def queries(self) -> tuple[str, ...]:
        """Value and sample; and the same of the champion, where both are of the challenger, at one look."""
        templates = self.guardrail.asked, self.guardrail.sample
        champion = [of_champion(each) for each in templates] if len(self.looks) == 1 else [None]
        told = templates if None in champion else (*templates, *filter(None, champion))
        return tuple(render(each, self.window.span, self.arms) for each in told)

    @property
    def looks(self) -> tuple[datetime, ...]:
        return self.window.looks

    def judge(self, answers: Answers) -> Verdict:
        value, sample, *champion = answers.readings
        rests_on = value, sample, self.left_out, tuple(champion)
        return Measurement(self.guardrail, self.window, *rests_on).judge()


@dataclass(frozen=True)
class Measurement:
    """All that a verdict on a threshold rests on."""

    guardrail: Threshold
    window: Window
    value: Reading
    sample: Reading
    left_out: LeftOut = NOTHING
    """Of the window, since the challenger was warming up."""
    champion: tuple[Reading, ...] = ()
    """Its value and sample, where they were asked; what becomes of these changes no verdict."""

    def judge(self) -> Verdict:
        """The verdict."""
        if fault := self.sample.fault or self.value.fault:
            return self._verdict(Status.CANNOT_MEASURE, fault)
        values, samples = self.value.points, self.sample.points
        looks = [self._look(value, sample) for value, sample in zip(values, samples, strict=True)]
        status, reason = looks[-1]
        if status is Status.BREACH and len(looks) > 1:
            status, reason = self._hold([earlier for earlier, _ in looks], reason)
        return self._verdict(status, reason)

    def _look(self, value: float | None, sample: float | None) -> tuple[Status, str]:
        if sample is None:
            return Status.CANNOT_MEASURE, f"the query for the sample gives no series{_NO_SERIES}"
        if math.isnan(sample):
            return Status.NO_DATA, "nobody called the model in the window"
        if math.isinf(sample):
            return Status.CANNOT_MEASURE, "the query for the sample divides by zero"
        needed = self.guardrail.smallest_sample
        if sample < needed:
            return Status.NO_DATA, f"only {int(sample)} calls in the window, and {needed} are needed"
        return self._judge_value(value, f"{int(sample)} calls")

    def _judge_value(self, value: float | None, calls: str) -> tuple[Status, str]:
        if value is None:
            return Status.CANNOT_MEASURE, f"{calls} in the window, but the query gives no series{_NO_SERIES}"
        if math.isnan(value):
            return Status.NO_DATA, f"{calls} in the window, but the query gives no number"
        if math.isinf(value):
            return Status.CANNOT_MEASURE, "the query for the value divides by zero"
        told = f"{in_unit(value, self.guardrail.unit)} on {calls}"
        if self.guardrail.is_breached_by(value):
            return Status.BREACH, f"{told} is {self._beyond}"
        return Status.OK, f"{told} is not {self._beyond}"

    def _hold(self, looks: list[Status], reason: str) -> tuple[Status, str]:
        """A breach at the last look, judged by the looks before it."""
        beyond = looks.count(Status.BREACH)
        lasted = format_duration(self.window.looks[-1] - self.window.looks[0])
        if beyond == len(looks):
            return Status.BREACH, f"{reason}, as at each of {beyond} looks over {lasted}"
        tally = f"at {beyond} of {len(looks)} looks over {lasted}"
        if Status.OK in looks:
            told = in_unit(self.value.points[-1], self.guardrail.unit)
            return Status.OK, f"{told} is {self._beyond}, but only {tally}"
        return Status.NO_DATA, f"beyond the limit {tally}, and nothing is known of the others"

    @property
    def _beyond(self) -> str:
        side = "under" if self.guardrail.below else "over"
        return f"{side} the limit of {in_unit(self.guardrail.limit, self.guardrail.unit)}"

    def _verdict(self, status: Status, reason: str) -> Verdict:
        guardrail = self.guardrail
        if status in (Status.OK, Status.BREACH):
            reason = ", ".join(filter(None, (f"{reason}{guardrail.counted}", str(self.left_out))))
        return Verdict(
            guardrail=guardrail.name,
            status=status,
            action=guardrail.action,
            unit=guardrail.unit,
            fewer=guardrail.below,
            limit=guardrail.limit,
            smallest_sample=guardrail.smallest_sample,
            sentence=reason,
            value=self.value.points[-1] if self.value.points else None,
            sample=self.sample.points[-1] if self.sample.points else None,
            query=self.value.query,
            window=self.window.span,
            left_out=self.left_out,
            effect=self._effect(),
            rests_on=self._evidence,
        )

    def _effect(self) -> Effect | None:
        asked = (self.value, self.sample, *self.champion)
        found = [each.points[-1] for each in asked if each.points]
        numbers = [each for each in found if each is not None and math.isfinite(each)]
        if not self.champion or len(numbers) < len(asked):
            return None
        value, calls, champion, champion_calls = numbers
        if self.guardrail.unit != "share":
            return Effect(champion)
        return Effect.of_shares(value, calls, champion, champion_calls)

    def _evidence(self) -> dict[str, Any]:
        return {
            "kind": "threshold",
            "guardrail": self.guardrail.as_written(),
            "value_query": self.value.query,
            "sample_query": self.sample.query,
            "window_seconds": self.window.span.total_seconds(),
            "looks": [look.isoformat() for look in self.window.looks],
            "values": [_written(point) for point in self.value.points],
            "samples": [_written(point) for point in self.sample.points],
            "fault": self.sample.fault or self.value.fault,
            "warm_up": self.left_out.as_evidence,
        }


def _written(point: float | None) -> float | str | None:
    """A number that JSON can hold: NaN and the infinities as text."""
    return point if point is None or math.isfinite(point) else str(point)


def _read(points: Sequence[float | str | None]) -> tuple[float | None, ...]:
    return tuple(None if point is None else float(point) for point in points)
