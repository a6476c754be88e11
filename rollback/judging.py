"""All guardrails of a policy judged at one moment: asks Prometheus, and gives each guardrail its verdict.

The fast and absolute ones come first, so that a breach can be acted on before the rest is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from common.answers import Sample
from common.durations import format_duration
from common.names import Model
from common.prometheus import Prometheus, PrometheusError, Unreachable
from common.served import Arms, ServedModel, evidence_since
from flags.canary import CanaryState
from rollback import evidence, measure
from rollback.batch import at_once, over_time
from rollback.counts import count_all
from rollback.guardrails import Guardrail, Policy, Threshold, render
from rollback.measurement import Measurement, Reading
from rollback.plans import NotYet, cold, plan
from rollback.tally import Plan, Tally, selector
from rollback.verdict import Status, Verdict, judge, too_young, without_measurement
from rollback.weigh import weigh
from rollback.window import FEWEST_SCRAPES, Grid, TooYoung, Window, fit_grid, fit_window

# How long ago a stage is taken to have begun when Unleash cannot say: long enough for gross faults to show,
# and short enough that a canary that was mended and restarted is not taken away for the calls of before.
UNKNOWN_STAGE = timedelta(minutes=2)
# How far sequential guardrails look back where the flag has no history: it is older than the event log.
ENDLESS_STAGE = timedelta(days=1)

Fitted = tuple[Threshold, Window]


@dataclass(frozen=True)
class Judging:
    """The judgement of one moment."""

    prometheus: Prometheus
    policy: Policy
    arms: Arms
    state: CanaryState | None
    """The flag; None when Unleash could not be asked."""
    unknown_stage: timedelta = UNKNOWN_STAGE
    """How long ago the stage is taken to have begun then; less where the flag was seen off since."""

    def verdicts(self) -> Iterator[Verdict]:
        """The verdicts one by one; once Prometheus does not answer, the rest follow without asking it."""
        told = set()
        pair: dict[Model, ServedModel] = {}
        try:
            for verdict in self._measured(pair):
                told.add(verdict.guardrail)
                yield replace(verdict, models=pair)
        except PrometheusError as error:
            for guardrail in self.policy.guardrails:
                if guardrail.name not in told:
                    yield _unmeasured(guardrail, Status.CANNOT_MEASURE, str(error))

    def _measured(self, pair: dict[Model, ServedModel]) -> Iterator[Verdict]:
        """`pair` is filled with the models that are judged."""
        opening = measure.begin(self.prometheus, self.policy, self.arms, self._stage)
        now = opening.now
        pair |= opening.seen.pair()
        if Model.CHALLENGER not in pair:
            for guardrail in self.policy.guardrails:
                yield _unmeasured(guardrail, Status.NO_DATA, "the service serves no challenger")
            return
        stage = now - self._stage if isinstance(self._stage, timedelta) else self._stage
        began = evidence_since(self.prometheus, self.arms, opening.seen, stage, now)
        at_once: list[Fitted] = []
        held: list[Fitted] = []
        for guardrail in self.policy.thresholds:
            window = self._window(guardrail, began if self._is_bounded or began > stage else None, now)
            if isinstance(window, TooYoung):
                yield self._too_young(guardrail, window, came=began > stage)
            else:
                (held if guardrail.hold else at_once).append((guardrail, window))
        grid = fit_grid(self.policy.step, self.policy.scrape_interval, began, now)
        if isinstance(grid, TooYoung):
            for each in self.policy.sequential:
                yield self._too_young(each, grid, came=began > stage)
            yield from self._look(at_once, now)
        else:
            plans, reasons = self._plans(opening, grid)
            yield from reasons
            yield from self._look_and_weigh(at_once, plans, grid)
        yield from self._look_back(held)

    @property
    def _stage(self) -> datetime | timedelta:
        """When the stage began, or how long ago."""
        if self.state is None:
            return self.unknown_stage
        return self.state.changed_at or ENDLESS_STAGE

    @property
    def _is_bounded(self) -> bool:
        """Whether it is known when the stage began; one without a history is older than any window."""
        return self.state is None or self.state.changed_at is not None

    def _window(self, guardrail: Threshold, began: datetime | None, now: datetime) -> Window | TooYoung:
        return fit_window(guardrail.window, guardrail.hold, self.policy.scrape_interval, began, now)

    def _too_young(self, guardrail: Guardrail, stage: TooYoung, *, came: bool) -> Verdict:
        """`came`: what is young is not the stage, but the pair of models."""
        if self.state is None and not came:
            reach = format_duration(self.unknown_stage)
            sentence = f"without Unleash only the last {reach} count, which are too short for this guardrail"
            return _unmeasured(guardrail, Status.NO_DATA, sentence)
        verdict = too_young(guardrail, stage, "every instance began to serve these models" if came else None)
        return replace(verdict, evidence=evidence.of_nothing(guardrail, verdict))

    def _plans(self, opening: measure.Opening, grid: Grid) -> tuple[list[Plan], list[Verdict]]:
        """Which series each sequential guardrail needs; and verdicts of those that cannot be judged."""
        guardrails = self.policy.sequential
        histograms = cold(guardrails, opening.before)
        learnt = measure.learn(self.prometheus, self.arms, histograms, grid.start, grid.now)
        plans: list[Plan] = []
        verdicts: list[Verdict] = []
        for guardrail in guardrails:
            try:
                plans.append(plan(guardrail, opening.known, opening.before, learnt, grid.start))
            except NotYet as reason:
                verdicts.append(_unmeasured(guardrail, Status.NO_DATA, str(reason)))
            except ValueError as reason:
                verdicts.append(_unmeasured(guardrail, Status.CANNOT_MEASURE, str(reason)))
        return plans, verdicts

    def _look(self, fitted: Sequence[Fitted], now: datetime) -> Iterator[Verdict]:
        yield from _judged(fitted, at_once(self.prometheus, self._queries(fitted), now).readings)

    def _look_and_weigh(
        self, fitted: Sequence[Fitted], plans: Sequence[Plan], grid: Grid
    ) -> Iterator[Verdict]:
        query = selector(plans, self.arms.selector) if plans else None
        answer = at_once(self.prometheus, self._queries(fitted), grid.now, query)
        yield from _judged(fitted, answer.readings)
        if query is None:
            return
        try:
            if answer.fault:
                raise answer.fault
            yield from self._weigh(plans, query, grid, answer.others)
        except Unreachable:
            raise
        except PrometheusError as error:  # of these counters alone: the other guardrails stay in force
            for each in plans:
                yield _unmeasured(each.guardrail, Status.CANNOT_MEASURE, str(error))

    def _weigh(
        self, plans: Sequence[Plan], query: str, grid: Grid, last: Sequence[Sample]
    ) -> Iterator[Verdict]:
        counted = count_all(measure.read_counters(self.prometheus, query, grid, last))
        for each in plans:
            counts, missing = each.count(counted, grid)
            tally = Tally(
                guardrail=each.guardrail,
                alpha=self.policy.alpha,
                late_start=self.policy.late_start,
                query=query,
                grid=grid,
                edges=each.edges,
                counts=counts,
                missing=missing,
            )
            yield replace(weigh(tally), evidence=evidence.of_tally(tally))

    def _look_back(self, fitted: Sequence[Fitted]) -> Iterator[Verdict]:
        looks = [window.looks for _, window in fitted for _ in range(2)]
        step = FEWEST_SCRAPES * self.policy.scrape_interval
        asked = list(zip(self._queries(fitted), looks, strict=True))
        yield from _judged(fitted, over_time(self.prometheus, asked, step))

    def _queries(self, fitted: Sequence[Fitted]) -> list[str]:
        """Value and sample of each guardrail, in turn."""
        return [
            render(template, window.span, self.arms.selector)
            for guardrail, window in fitted
            for template in (guardrail.value, guardrail.sample)
        ]


def _judged(fitted: Sequence[Fitted], readings: Sequence[Reading]) -> Iterator[Verdict]:
    for (guardrail, window), value, sample in zip(fitted, readings[::2], readings[1::2], strict=True):
        measured = Measurement(guardrail, window, value, sample)
        yield replace(judge(measured), evidence=evidence.of_measurement(measured))


def _unmeasured(guardrail: Guardrail, status: Status, sentence: str) -> Verdict:
    verdict = without_measurement(guardrail, status, sentence)
    return replace(verdict, evidence=evidence.of_nothing(guardrail, verdict))
