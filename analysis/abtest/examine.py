"""A registered test against a log: from the file and what the log holds to everything that a report tells."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite

from ibis.expr import types as ir

from analysis.abtest import measure
from analysis.abtest.measure import Answered, ArmReadings, Arrived
from analysis.abtest.registration import Registration
from analysis.abtest.verdict import (
    Comparison,
    Finding,
    answer,
    comparable,
    compare,
    compare_any_time,
    harmed,
    obstacle,
    smallest,
)
from analysis.errors import AnalysisError
from analysis.log import Log
from analysis.log.left_out import LeftOut, left_out
from analysis.metric import Kind, Metric
from analysis.stages import WHOLE, Stages
from analysis.statistics.arrivals import Arrivals, SampleRatio, sample_ratios
from analysis.statistics.effect import pooled
from analysis.statistics.sequential import Planned
from analysis.users import Covariate, Period, in_test

_TICK = timedelta(microseconds=1)  # of the times in the log's tables
_LONGEST_DAYS = 3650


@dataclass(frozen=True)
class ReportOptions:
    """What whoever asks for the report wants otherwise than registered.

    Attributes:
        metric: another one than that which was registered; None: that.
        since, until: other times; None: from the registration on, and until now.
        sequential: the reading that is valid at any time.
        accepted: why a changed file is to be taken; None: it is not.
        stages: when each share of the flag began, in per cent, ascending; none: by the log.
    """

    metric: Metric | None = None
    since: datetime | None = None
    until: datetime | None = None
    sequential: bool = False
    accepted: str | None = None
    stages: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True)
class GuardrailResult:
    """A metric that must not get worse, and what was found of it."""

    metric: Metric
    comparison: Comparison
    harmed: bool


@dataclass(frozen=True)
class Progress:
    """How far the test has come.

    Attributes:
        arrived: users so far.
        reached: when both arms had their users; None: they have not.
        complete: reached, and the outcomes of these users have had their time: the planned end.
        came_before: users whose first request came before this are compared.
        compared_by_stage: how many those are, of the champion and of the challenger.
        expected: when the planned end was or will be, as users come now; None: never at this rate.
        watched: users who came less than the window ago, so that their outcomes may still come.
    """

    arrived: Arrived
    reached: datetime | None
    complete: bool
    came_before: datetime
    compared_by_stage: tuple[tuple[int, int], ...]
    expected: datetime | None
    watched: int

    @property
    def compared(self) -> tuple[int, int]:
        """Of all stages."""
        champion, challenger = zip(*self.compared_by_stage, strict=True)
        return sum(champion), sum(challenger)


@dataclass(frozen=True)
class Results:
    """What was compared, where it may be seen.

    Attributes:
        arms, comparison: of the metric.
        covariate: the time before the test that was used.
        guardrails: beside it.
        smallest: the smallest change that arms of this size find with the registered power; None: none.
        left_out: feedback on the metric that does not count.
    """

    arms: ArmReadings
    comparison: Comparison
    covariate: Covariate | None
    guardrails: tuple[GuardrailResult, ...]
    smallest: float | None
    left_out: LeftOut


@dataclass(frozen=True)
class Examined:
    """Everything that a report tells.

    Attributes:
        registration, options: what was promised, and what was asked for.
        changed: the file's hash does not fit.
        metric: that which is read.
        period: whose users of which time; nothing is known of the time after it.
        log_end: time of the last record.
        progress: how far the test has come.
        stages: the shares that the flag had.
        ratio: the check of the arms' sizes.
        finding: what the report comes to.
        results: None where they must not be seen, or there are none.
        answered: who answered whom.
    """

    registration: Registration
    options: ReportOptions
    changed: bool
    metric: Metric
    period: Period
    log_end: datetime | None
    progress: Progress
    stages: Stages
    ratio: SampleRatio
    finding: Finding
    results: Results | None
    answered: tuple[Answered, ...]

    @property
    def harmed(self) -> tuple[GuardrailResult, ...]:
        """Guardrails that got worse, as far as they may be seen."""
        return tuple(each for each in self.results.guardrails if each.harmed) if self.results else ()


def examine(
    log: Log, registration: Registration, sha256: str, options: ReportOptions, clock: datetime
) -> Examined:
    """Read the log as far as it may be read.

    Args:
        sha256: of the registration, when it was written.
        clock: the present; a log that goes beyond it is believed.

    Raises:
        AnalysisError: the test has not begun at the time that is asked for.
    """
    last = log.survey.last
    log_end = last.replace(tzinfo=UTC) if last else None
    period = _period(registration, options, max(clock, log_end + _TICK if log_end else clock))
    stages = measure.stages_of(log, period, registration.share, options.stages)
    users = log.keep(in_test(log, period, stages))
    progress = _progress(log, users, registration, period, stages, log_end or period.until, options)
    metric = options.metric or registration.metric
    shares = [share / WHOLE for share in stages.shares or (registration.share,)]
    ratio = sample_ratios(progress.compared_by_stage, shares)
    finding = obstacle(
        changed=sha256 != registration.sha256 and options.accepted is None,
        own_metric=metric == registration.metric,
        own_time=period.since == registration.registered,
        complete=progress.complete,
        sequential=options.sequential,
        ratio=ratio,
    )
    results = None
    if finding is None or finding.may_show:
        compared = measure.until(users, progress.came_before)
        results = _results(log, compared, registration, metric, period, sequential=options.sequential)
    if finding is None:
        finding = Finding.UNDECIDED
        if results is not None:
            effect = results.comparison.effect
            finding = answer(effect, metric, alpha=registration.alpha, sequential=options.sequential)
    return Examined(
        registration=registration,
        options=options,
        changed=sha256 != registration.sha256,
        metric=metric,
        period=period,
        log_end=log_end,
        progress=progress,
        stages=stages,
        ratio=ratio,
        finding=finding,
        results=results,
        answered=measure.answered(log, period),
    )


def _period(registration: Registration, options: ReportOptions, present: datetime) -> Period:
    since, until = options.since or registration.registered, min(options.until or present, present)
    if until <= since:
        raise AnalysisError(
            f"the test begins at {since.isoformat(timespec='seconds')}, and nothing before that time counts"
        )
    segment = registration.segment
    return Period(since, until, registration.window, (segment.property, segment.value) if segment else None)


def _progress(  # noqa: PLR0913, PLR0917 - the test, its users, and the present
    log: Log,
    users: ir.Table,
    registration: Registration,
    period: Period,
    stages: Stages,
    log_end: datetime,
    options: ReportOptions,
) -> Progress:
    """The verdict is that of the users with whom both arms were full: a later report says the same."""
    planned, now = registration.users, period.until
    arrived = measure.arrived(log, users, period)
    reached = measure.reached(log, users, planned.champion, planned.challenger)
    complete = reached is not None and reached + period.window < now
    if options.sequential:  # only those whose measure is final, also where the log is behind the clock
        came_before = min(now, log_end + _TICK) - period.window
    else:
        came_before = reached + _TICK if reached and complete else now
    closed = sum(map(sum, measure.sizes(log, users, now - period.window, stages)))
    return Progress(
        arrived=arrived,
        reached=reached,
        complete=complete,
        came_before=came_before,
        compared_by_stage=measure.sizes(log, users, came_before, stages),
        expected=reached + period.window if reached else _expected(registration, period, arrived, log_end),
        watched=sum(arrived.users) - closed,
    )


def _expected(
    registration: Registration, period: Period, arrived: Arrived, log_end: datetime
) -> datetime | None:
    """When the last of the needed users will have come, and the outcomes will have had their time."""
    planned, seen = registration.users, (log_end - period.since).total_seconds() / 86_400
    known = sum(day <= seen for day in arrived.days)  # what a log that is behind does not hold has not come
    needed = ((arrived.champion, planned.champion), (arrived.challenger, planned.challenger))
    days = max(
        Arrivals.seen(arrived.days[:known], users[:known]).days_until(count) for users, count in needed
    )
    if not isfinite(days) or days > _LONGEST_DAYS:
        return None
    return period.since + timedelta(days=days) + registration.window


def _results(  # noqa: PLR0913 - a test, its users, and what is read of them
    log: Log,
    users: ir.Table,
    registration: Registration,
    metric: Metric,
    period: Period,
    *,
    sequential: bool,
) -> Results | None:
    """Of the `users` that are compared; None where there are too few."""
    covariate = None
    if registration.covariate and not sequential:
        covariate = measure.covariate_time(log, period, registration.covariate)
    arms = measure.measured(log, metric, period, users, covariate=covariate, heard=True)
    if not comparable(arms):
        return None

    def read(arms: ArmReadings, kind: Kind, alpha: float, *, covariate: bool = False) -> Comparison:
        if sequential:
            return compare_any_time(arms, kind, _tuned_to(registration, arms, kind), alpha)
        seed = int(registration.sha256[:8], 16)  # nobody can try seeds
        return compare(arms, kind, alpha=alpha, seed=seed, covariate=covariate)

    comparison = read(arms, metric.kind, registration.alpha, covariate=covariate is not None)
    guardrails, alpha = [], registration.alpha / max(len(registration.guardrails), 1)
    for guardrail in registration.guardrails:
        if guardrail == metric:
            continue
        beside = read(measure.measured(log, guardrail, period, users), guardrail.kind, alpha)
        worse = harmed(beside.effect, guardrail, alpha=alpha)
        guardrails.append(GuardrailResult(guardrail, beside, worse))
    return Results(
        arms=arms,
        comparison=comparison,
        covariate=covariate,
        guardrails=tuple(guardrails),
        smallest=smallest(registration.design, arms, metric.kind, comparison),
        left_out=left_out(log, metric, period, users),
    )


def _tuned_to(registration: Registration, arms: ArmReadings, kind: Kind) -> Planned:
    """The planned end. Of a metric of another kind than the registered one only the present is known."""
    if kind is registration.metric.kind:
        variance = registration.design.variance(registration.baseline)
    else:
        variance = pooled((arms.champion.sample, arms.challenger.sample)).variance
    return Planned(registration.users.champion, registration.users.challenger, variance)
