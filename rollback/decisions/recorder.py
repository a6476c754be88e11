"""Records what the job decides, and notifies people of what is new. The job waits for neither."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from common.arms import ServedModel
from common.durations import format_duration
from flags.canary.state import CanaryState
from rollback.actions.turn_off import Canary, Rollback
from rollback.background import Background
from rollback.decisions.log import DecisionLog
from rollback.decisions.memory import BLIND, FINE, Memory
from rollback.decisions.record import (
    Decision,
    Kind,
    RollbackRecord,
    begin,
    breached_at,
    model_versions,
    rollback_record,
    stop_record,
    verdict_record,
)
from rollback.decisions.story import aftermath, tell, title
from rollback.decisions.traces import ExampleTrace, example_traces
from rollback.guardrails.verdict import Verdict
from rollback.iteration import Iteration
from rollback.notify import Message, Notifier, Tone

INTENT_SECONDS = 0.25  # what a rollback waits for its evidence, so that it outlives a kill; a disk takes 1 ms
RESTORED = 50
SAME_TROUBLE = timedelta(hours=1)
TRACES_WITHIN = timedelta(hours=1)  # where Unleash does not say since when the share is so

_log = logging.getLogger(__name__)


@dataclass
class DecisionRecorder:
    """Of one job. All but the drafts of rollbacks belongs to the background thread."""

    canary: Canary
    log: DecisionLog | None
    notifier: Notifier | None
    models: Callable[[], Mapping[str, ServedModel]] = dict
    """Those that are served, by role; asked in the background, where no verdict says so; may be slow."""
    cannot_measure_for: timedelta = timedelta(minutes=5)
    prediction_log: Path | None = None
    """Folder from which a rollback takes its example traces."""
    on_failure: Callable[[], None] = lambda: None
    """Called for each decision that could not be kept."""
    _draft: Decision | None = None
    _traces: tuple[ExampleTrace, ...] = ()
    _memory: Memory = field(init=False)
    _background: Background = field(init=False)

    def __post_init__(self) -> None:
        self._memory = Memory(self.canary.flag, self.canary.environment)
        self._background = Background("decisions", on_failure=self.on_failure)
        self._background.do(self._restore)

    def before_rollback(self, breach: Verdict, state: CanaryState | None) -> None:
        """Keep why the flag is about to be turned off; within a quarter of a second, or not at all."""
        self._draft = self._draft_for(breach, state)
        if self._draft.kind is Kind.ORDERED:
            self._background.do(partial(self._keep, self._draft, durable=False)).wait(INTENT_SECONDS)

    def after_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:
        """Keep and tell what came of it."""
        draft = self._draft or begin(Kind.ORDERED, self.canary, state)
        before = draft.rollback.attempts if draft.kind is Kind.FAILED and draft.rollback else 0
        record = rollback_record(rollback, breach).model_copy(update={"attempts": before + 1})
        kind = Kind.ROLLBACK if rollback.verified else Kind.FAILED
        kind = Kind.EXCLUDED if rollback.excluded else kind
        self._draft = draft.model_copy(update={"kind": kind, "rollback": record})
        self._background.do(partial(self._record_rollback, self._draft))

    def after_iteration(self, iteration: Iteration) -> None:
        """Keep and tell what this iteration changed."""
        draft, self._draft = self._draft, None
        # The memory is the background thread's, which does nothing with it just now and may sleep on.
        if draft is None and self._background.is_idle and self._memory.has_nothing_new(iteration):
            return
        self._background.do(partial(self._record_iteration, iteration, draft))

    def close(self, seconds: float) -> None:
        """Give what is under way some time to end: the documents first, then the messages."""
        if not self._background.close(seconds):
            _log.error("decisions were not kept in time", extra={"seconds": seconds})
        if self.notifier:
            self.notifier.close(seconds)

    def _draft_for(self, breach: Verdict, state: CanaryState | None) -> Decision:
        """A new decision, or that of the rollback which could not be done in the iterations before."""
        failed, now = self._memory.failed, datetime.now(UTC)
        if (
            failed
            and failed.rollback
            and failed.rollback.guardrail == breach.guardrail
            and (state is None or failed.flag_revision in {None, state.revision})
            and abs(now - (failed.rollback.ordered_at or failed.time)) < SAME_TROUBLE
        ):
            return failed
        record = RollbackRecord(guardrail=breach.guardrail, breached_at=breached_at(breach))
        return begin(
            Kind.ORDERED,
            self.canary,
            state,
            models=model_versions(breach),
            verdicts=(verdict_record(breach),),
            rollback=record,
        )

    def _restore(self) -> None:
        if self.log is not None:
            for decision in reversed(list(self.log.newest(RESTORED))):
                self._memory.learn(decision)

    def _keep(self, decision: Decision, *, durable: bool = True) -> None:
        self._memory.learn(decision)
        if self.log is None:
            return
        try:
            self.log.write(decision, durable=durable)
        except OSError as error:
            _log.error(
                "the decision could not be kept",
                extra={"decision": decision.id, "error": error.strerror, "folder": str(self.log.folder)},
            )
            self.on_failure()

    def _record_rollback(self, decision: Decision) -> None:
        if self.prediction_log is not None:
            since = decision.changed_at or decision.time - TRACES_WITHIN
            self._traces = example_traces(self.prediction_log, since)
            decision = decision.model_copy(update={"traces": self._traces})
        self._keep(decision)
        attempts = decision.rollback.attempts if decision.rollback else 1
        if decision.kind in {Kind.ROLLBACK, Kind.EXCLUDED}:
            self._notify(decision, Tone.WARNING)
        elif attempts & (attempts - 1) == 0:  # the first, second, fourth, eighth ...
            self._notify(decision, Tone.BAD)

    def _record_iteration(self, iteration: Iteration, draft: Decision | None) -> None:
        if draft is not None and iteration.rollback is not None:
            verdicts = tuple(map(verdict_record, iteration.verdicts))
            models = draft.models or dict(self.models())
            update = {"verdicts": verdicts, "models": models, "traces": self._traces}
            self._keep(draft.model_copy(update=update))
        self._record_turns(iteration)
        self._record_stop(iteration)

    def _record_turns(self, iteration: Iteration) -> None:
        turns, was_told_blind = self._memory.turns(iteration), self._memory.blind_told
        if turns:
            names = {turn.guardrail for turn in turns}
            decision = begin(
                Kind.VERDICT,
                self.canary,
                iteration.state,
                models=model_versions(*iteration.verdicts[:1]) or dict(self.models()),
                verdicts=tuple(verdict_record(one) for one in iteration.verdicts if one.guardrail in names),
                turns=turns,
                sentence=iteration.flag_error
                or (None if iteration.verdicts else "Nobody gets the challenger, so that nothing is judged."),
            )
            self._keep(decision)
            if any(turn.after not in {FINE, BLIND} for turn in turns):
                self._notify(decision, Tone.WARNING)
            elif (was_told_blind and not self._memory.blind_told) or any(
                turn.before not in {FINE, BLIND} for turn in turns
            ):
                self._notify(decision, Tone.NOTE)
        if self._memory.blind_too_long(self.cannot_measure_for, datetime.now(UTC)):
            blind = ", ".join(name for name, last in self._memory.last.items() if last == BLIND)
            allowed = format_duration(self.cannot_measure_for)
            sentence = f"For more than {allowed} this could not be measured: {blind}."
            verdicts = tuple(map(verdict_record, iteration.verdicts))
            decision = begin(Kind.BLIND, self.canary, iteration.state, verdicts=verdicts, sentence=sentence)
            self._keep(decision)
            self._notify(decision, Tone.BAD)

    def _record_stop(self, iteration: Iteration) -> None:
        if iteration.stop is None:
            return
        rolled_back = iteration.rollback
        ours = rolled_back is not None and rolled_back.verified and not rolled_back.excluded
        news = self._memory.stop_news(iteration.stop, ours=ours, now=datetime.now(UTC))
        if news is None:
            return
        rollback, was_missing = self._memory.rollback_of(iteration.stop), self._memory.stop_is_missing
        decision = begin(news, self.canary, iteration.state, stop=stop_record(iteration.stop, rollback))
        self._keep(decision)
        if news is Kind.NOT_STOPPED:
            self._notify(decision, Tone.BAD)
        elif rollback or was_missing:  # a person who turned the flag off knows it
            self._notify(decision, Tone.GOOD)

    def _notify(self, decision: Decision, tone: Tone) -> None:
        if self.notifier is None:
            return
        after = aftermath(decision)
        lines = [*(after.lines if after else ()), *tell(decision)]
        if self.log is not None:
            lines.append(f"More: ./canario explain {decision.id}")
        self.notifier.send(Message(title(decision), "\n".join(lines), tone))
