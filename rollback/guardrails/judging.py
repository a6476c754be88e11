"""All guardrails of a policy judged at one moment: asks Prometheus, and gives each guardrail its verdict.

The fast and absolute ones come first, so that a breach can be acted on before the rest is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from common.arms import Arms, ServedModel
from common.durations import format_duration
from common.names import Model
from common.prometheus import Prometheus, PrometheusError, Unreachable
from common.served import evidence_since
from flags.canary.state import CanaryState
from rollback.guardrails import measure
from rollback.guardrails.batch import at_once, over_time
from rollback.guardrails.counts import count_all
from rollback.guardrails.file import Policy
from rollback.guardrails.kinds.base import Guardrail
from rollback.guardrails.kinds.question import Answers, Moment, NotYet, Question, Reading
from rollback.guardrails.past import Kept
from rollback.guardrails.tally import bucket_selector, selector
from rollback.guardrails.verdict import Status, Verdict
from rollback.guardrails.warm_up import read_warm_ups
from rollback.guardrails.window import FEWEST_SCRAPES, Grid, TooYoung, fit_grid

# How long ago a stage is taken to have begun when Unleash cannot say: long enough for gross faults to show,
# and short enough that a canary that was mended and restarted is not taken away for the calls of before.
UNKNOWN_STAGE = timedelta(minutes=2)
# How far sequential guardrails look back where the flag has no history: it is older than the event log.
ENDLESS_STAGE = timedelta(days=1)

Asked = tuple[Guardrail, Question]


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
    kept: Kept = field(default_factory=Kept)
    """What was read of the stage before."""

    def verdicts(self) -> Iterator[Verdict]:
        """The verdicts one by one; once Prometheus does not answer, the rest follow without asking it."""
        for guardrail, why in self.policy.missing:
            yield guardrail.unjudged(Status.NO_DATA, why)
        told = set()
        pair: dict[Model, ServedModel] = {}
        notes: list[str] = []
        try:
            for verdict in self._measured(pair, notes):
                told.add(verdict.guardrail)
                sentence = verdict.sentence
                if verdict.status in {Status.NO_DATA, Status.CANNOT_MEASURE}:
                    sentence = "; ".join((sentence, *notes))
                yield replace(verdict, models=pair, sentence=sentence)
        except PrometheusError as error:
            for guardrail in self.policy.guardrails:
                if guardrail.name not in told:
                    yield guardrail.unjudged(Status.CANNOT_MEASURE, str(error))

    def _measured(self, pair: dict[Model, ServedModel], notes: list[str]) -> Iterator[Verdict]:
        """`pair` is filled with the models that are judged, `notes` with why there may be no data."""
        opening = measure.begin(self.prometheus, self.policy, self.arms, self._stage)
        now = opening.now
        pair |= opening.seen.pair(self.arms)
        notes += [opening.unseen] if opening.unseen else []
        if Model.CHALLENGER not in pair:
            for guardrail in self.policy.guardrails:
                yield guardrail.unjudged(Status.NO_DATA, "the service serves no challenger")
            return
        stage = now - self._stage if isinstance(self._stage, timedelta) else self._stage
        began = evidence_since(self.prometheus, self.arms, opening.seen, stage, now)
        moment = self._moment(opening, began, is_bounded=self._is_bounded or began > stage)
        asked: list[Asked] = []
        for guardrail in self.policy.guardrails:
            question = self._ask(guardrail, moment, came=began > stage)
            if isinstance(question, Verdict):
                yield question
            else:
                asked.append((guardrail, question))
        counting = [each for each in asked if each[1].names]
        yield from self._look_and_count([each for each in asked if len(each[1].looks) == 1], counting, moment)
        yield from self._look_back([each for each in asked if len(each[1].looks) > 1])

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

    def _moment(self, opening: measure.Opening, began: datetime, *, is_bounded: bool) -> Moment:
        policy, now = self.policy, opening.now
        grid = fit_grid(policy.step, policy.scrape_interval, began, now)
        learnt, warm_ups = {}, None
        if isinstance(grid, Grid):
            if policy.leaves_out:
                warm_ups = read_warm_ups(
                    self.prometheus, self.arms, policy.warm_up, grid, opening.started, self.kept.starts
                )
            histograms = measure.cold(policy.guardrails, opening.before)
            learnt = measure.learn(self.prometheus, self.arms, histograms, grid.start, now)
        return Moment(
            terms=policy,
            now=now,
            since=began if is_bounded else None,
            grid=grid,
            arms=self.arms,
            kept_out=frozenset(self.state.kept_out if self.state else ()),
            known=opening.known,
            before=opening.before,
            whole=opening.whole,
            learnt=learnt,
            warm_ups=warm_ups,
        )

    def _ask(self, guardrail: Guardrail, moment: Moment, *, came: bool) -> Question | Verdict:
        """What a guardrail asks, or the verdict of one that cannot ask.

        `came`: what is young is not the stage, but the pair of models.
        """
        try:
            question = guardrail.ask(moment)
        except NotYet as reason:
            return guardrail.unjudged(Status.NO_DATA, str(reason))
        except ValueError as reason:
            return guardrail.unjudged(Status.CANNOT_MEASURE, str(reason))
        if not isinstance(question, TooYoung):
            # A guardrail that is never judged guards nothing.
            if bool(question.looks) == bool(question.names):
                fault = f"the kind {guardrail.kind} must ask either for numbers or for counters"
                return guardrail.unjudged(Status.CANNOT_MEASURE, fault)
            return question
        if self.state is None and not came:
            reach = format_duration(self.unknown_stage)
            sentence = f"without Unleash only the last {reach} count, which are too short for this guardrail"
            return guardrail.unjudged(Status.NO_DATA, sentence)
        return guardrail.too_young(question, "every instance began to serve these models" if came else None)

    def _look_and_count(
        self, looking: Sequence[Asked], counting: Sequence[Asked], moment: Moment
    ) -> Iterator[Verdict]:
        """Numbers of now, and the last readings of the raw counters with them, in one request."""
        query = selector([each for _, each in counting], self.arms) if counting else None
        queries = [query for _, each in looking for query in each.queries]
        answer = at_once(self.prometheus, queries, moment.now, query)
        yield from _judged(looking, answer.readings)
        if query is None or isinstance(moment.grid, TooYoung):
            return
        try:
            if answer.fault:
                raise answer.fault
            tracks = measure.read_counters(
                self.prometheus, query, moment.grid, answer.others, self.kept.counters
            )
            buckets = bucket_selector([each for _, each in counting], self.arms)
            found = []
            if buckets:
                found = measure.read_buckets(self.prometheus, buckets, moment.grid, self.kept.buckets)
            counts = Answers(
                counted=count_all(self.arms.told(tracks)),
                by_bucket=count_all(self.arms.told(found)),
                query=query,
                known=self.kept.evidence,
            )
            # Segments first: the breach of all users may be that of one of them.
            for _, each in sorted(counting, key=lambda one: one[0].only_for is None):
                yield each.judge(counts)
        except Unreachable:
            raise
        except PrometheusError as error:  # of these counters alone: the other guardrails stay in force
            for guardrail, _ in counting:
                yield guardrail.unjudged(Status.CANNOT_MEASURE, str(error))

    def _look_back(self, looking: Sequence[Asked]) -> Iterator[Verdict]:
        asked = [(query, each.looks) for _, each in looking for query in each.queries]
        step = FEWEST_SCRAPES * self.policy.scrape_interval
        yield from _judged(looking, over_time(self.prometheus, asked, step))


def _judged(asked: Sequence[Asked], readings: Sequence[Reading]) -> Iterator[Verdict]:
    """Each question with the readings of its own queries, which come in turn."""
    rest = iter(readings)
    for _, each in asked:
        yield each.judge(Answers([next(rest) for _ in each.queries]))
