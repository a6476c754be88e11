"""A registered test against a log: from the file and what the log holds to everything that a report tells."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite

from analysis.abtest import compare
from analysis.abtest.compare import Comparison
from analysis.abtest.decide import Conditions, Finding, admitted, answer, harmed
from analysis.abtest.registration import Registration
from analysis.errors import AnalysisError
from analysis.log import Log
from analysis.measures import experiment
from analysis.measures.experiment import Answered, Arms, Arrived, Covariate, Question
from analysis.measures.left_out import LeftOut
from analysis.measures.metric import Metric
from analysis.statistics.arrivals import Arrivals
from analysis.statistics.ratio import Ratio, sample_ratio

_TICK = timedelta(microseconds=1)  # of the times in the log's tables
_LONGEST_DAYS = 3650


@dataclass(frozen=True)
class Wish:
    """What whoever asks for the report wants otherwise than registered.

    Attributes:
        metric: another one than that which was registered; None: that.
        since, until: other times; None: from the registration on, and until now.
        sequential: the reading that is valid at any time.
        accepted: why a changed file is to be taken; None: it is not.
    """

    metric: Metric | None = None
    since: datetime | None = None
    until: datetime | None = None
    sequential: bool = False
    accepted: str | None = None


@dataclass(frozen=True)
class Guardrail:
    """A metric that must not get worse, and what was found of it."""

    metric: Metric
    comparison: Comparison
    harmed: bool


@dataclass(frozen=True)
class Course:
    """How far the test has come.

    Attributes:
        arrived: users so far.
        reached: when both arms had their users; None: they have not.
        complete: reached, and the outcomes of these users have had their time: the planned end.
        came_before: users whose first request came before this are compared.
        compared: how many those are, of the champion and of the challenger.
        expected: when the planned end was or will be, as users come now; None: never at this rate.
        watched: users who came less than the window ago, so that their outcomes may still come.
    """

    arrived: Arrived
    reached: datetime | None
    complete: bool
    came_before: datetime
    compared: tuple[int, int]
    expected: datetime | None
    watched: int


@dataclass(frozen=True)
class Found:
    """What was compared, where it may be seen.

    Attributes:
        arms, comparison: of the metric.
        covariate: the time before the test that was used.
        guardrails: beside it.
        smallest: the smallest change that arms of this size find with the registered power; None: none.
        left_out: feedback on the metric that does not count.
    """

    arms: Arms
    comparison: Comparison
    covariate: Covariate | None
    guardrails: tuple[Guardrail, ...]
    smallest: float | None
    left_out: LeftOut


@dataclass(frozen=True)
class Examined:
    """Everything that a report tells.

    Attributes:
        registration, wish: what was promised, and what was asked for.
        changed: the file's hash does not fit.
        metric: that which is read.
        question: which users of which time.
        log_end: time of the last record.
        course: how far the test has come.
        ratio: the check of the arms' sizes.
        finding: what the report comes to.
        found: None where it must not be seen, or there is nothing.
        answered: who answered whom.
    """

    registration: Registration
    wish: Wish
    changed: bool
    metric: Metric
    question: Question
    log_end: datetime | None
    course: Course
    ratio: Ratio
    finding: Finding
    found: Found | None
    answered: tuple[Answered, ...]


def examine(log: Log, registration: Registration, sha256: str, wish: Wish, clock: datetime) -> Examined:
    """Read the log as far as it may be read.

    Args:
        sha256: of the registration, when it was written.
        clock: the present; a log that goes beyond it is believed.

    Raises:
        AnalysisError: the test has not begun at the time that is asked for.
    """
    last = log.survey.last
    log_end = last.replace(tzinfo=UTC) if last else None
    question = _question(registration, wish, max(clock, log_end + _TICK if log_end else clock))
    course = _course(log, registration, question, log_end or question.now, sequential=wish.sequential)
    ratio = sample_ratio(*course.compared, registration.share / 100)
    metric = wish.metric or registration.metric
    conditions = Conditions(
        changed=sha256 != registration.sha256 and wish.accepted is None,
        own_metric=metric == registration.metric,
        own_time=question.since == registration.registered,
        complete=course.complete,
        sequential=wish.sequential,
    )
    finding = admitted(conditions, ratio)
    found = None
    if finding is None or finding.may_show:
        found = _found(log, registration, metric, wish, question, course)
    if finding is None and found is None:
        finding = Finding.UNDECIDED
    elif finding is None and found is not None:
        effect = found.comparison.effect
        finding = answer(effect, metric, alpha=registration.alpha, sequential=wish.sequential)
    assert finding is not None  # noqa: S101
    return Examined(
        registration=registration,
        wish=wish,
        changed=sha256 != registration.sha256,
        metric=metric,
        question=question,
        log_end=log_end,
        course=course,
        ratio=ratio,
        finding=finding,
        found=found,
        answered=experiment.answered(log, question),
    )


def _question(registration: Registration, wish: Wish, present: datetime) -> Question:
    since, now = wish.since or registration.registered, min(wish.until or present, present)
    if now <= since:
        raise AnalysisError(
            f"the test begins at {since.isoformat(timespec='seconds')}, and nothing before that time counts"
        )
    segment = registration.segment
    return Question(since, now, registration.window, (segment.property, segment.value) if segment else None)


def _course(
    log: Log, registration: Registration, question: Question, log_end: datetime, *, sequential: bool
) -> Course:
    """The verdict is that of the users with whom both arms were full: a later report says the same."""
    users, planned = experiment.users_of(log, question), registration.users
    arrived = experiment.arrived(log, users, question)
    reached = experiment.reached(log, users, planned.champion, planned.challenger)
    complete = reached is not None and reached + question.window < question.now
    if reached and complete and not sequential:
        came_before = reached + _TICK
    elif sequential:  # only those whose measure is final, also where the log is behind the clock
        came_before = min(question.now, log_end + _TICK) - question.window
    else:
        came_before = question.now
    closed = sum(experiment.sizes(log, users, question.now - question.window))
    return Course(
        arrived=arrived,
        reached=reached,
        complete=complete,
        came_before=came_before,
        compared=arrived.users if came_before == question.now else experiment.sizes(log, users, came_before),
        expected=reached + question.window
        if reached
        else _expected(registration, question, arrived, log_end),
        watched=sum(arrived.users) - closed,
    )


def _expected(
    registration: Registration, question: Question, arrived: Arrived, log_end: datetime
) -> datetime | None:
    """When the last of the needed users will have come, and the outcomes will have had their time."""
    planned, seen = registration.users, (log_end - question.since).total_seconds() / 86_400
    known = sum(day <= seen for day in arrived.days)  # what a log that is behind does not hold has not come
    needed = ((arrived.champion, planned.champion), (arrived.challenger, planned.challenger))
    days = max(
        Arrivals.seen(arrived.days[:known], users[:known]).days_until(count) for users, count in needed
    )
    if not isfinite(days) or days > _LONGEST_DAYS:
        return None
    return question.since + timedelta(days=days) + registration.window


def _found(  # noqa: PLR0913, PLR0917 - one for each part of what is examined
    log: Log, registration: Registration, metric: Metric, wish: Wish, question: Question, course: Course
) -> Found | None:
    covariate = None
    if registration.covariate and not wish.sequential:
        covariate = experiment.covariate_time(log, question, registration.covariate)
    reader = compare.Reader(registration, any_time=wish.sequential)
    arms = experiment.measured(log, metric, question, course.came_before, covariate=covariate, heard=True)
    if not compare.comparable(arms):
        return None
    comparison = reader.read(arms, metric.kind, registration.alpha, covariate=covariate is not None)
    guardrails = []
    for guardrail in registration.guardrails:
        if guardrail == metric:
            continue
        alpha = registration.alpha / len(registration.guardrails)
        beside = reader.read(
            experiment.measured(log, guardrail, question, course.came_before), guardrail.kind, alpha
        )
        guardrails.append(Guardrail(guardrail, beside, harmed(beside.effect, guardrail, alpha=alpha)))
    smallest = compare.smallest(registration.design, arms, metric.kind, comparison)
    without = experiment.left_out_of(log, metric, question, course.came_before)
    return Found(arms, comparison, covariate, tuple(guardrails), smallest, without)
