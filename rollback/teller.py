"""Tells what the job does: the decisions log for later, messages for now. The job waits for neither."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from common.durations import format_duration
from flags.canary import CanaryState
from rollback.act import Canary
from rollback.background import Background
from rollback.decision import (
    Decision,
    Kind,
    ModelVersion,
    RollbackRecord,
    begin,
    breached_at,
    model_versions,
    rollback_record,
    stop_record,
    verdict_record,
)
from rollback.decisions import DecisionLog
from rollback.memory import BLIND, FINE, Memory
from rollback.notify import Message, Notifier, Tone
from rollback.outcome import Pass, Rollback
from rollback.story import tell, title
from rollback.verdict import Verdict

INTENT_SECONDS = 0.25  # what a rollback waits for its evidence, so that it outlives a kill; a disk takes 1 ms
RESTORED = 50
SAME_TROUBLE = timedelta(hours=1)

_log = logging.getLogger(__name__)


@dataclass
class Teller:
    """An observer of one job. All but the drafts of rollbacks belongs to the background thread."""

    canary: Canary
    log: DecisionLog | None
    notifier: Notifier | None
    versions: Callable[[], Mapping[str, ModelVersion]] = dict
    """Asked in the background; may be slow."""
    cannot_measure_for: timedelta = timedelta(minutes=5)
    on_failure: Callable[[], None] = lambda: None
    """Called for each decision that could not be kept."""
    _draft: Decision | None = None
    _memory: Memory = field(init=False)
    _background: Background = field(init=False)

    def __post_init__(self) -> None:
        self._memory = Memory(self.canary.flag, self.canary.environment)
        self._background = Background("decisions", on_failure=self.on_failure)
        self._background.do(self._restore)

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        """Keep why the flag is about to be turned off; within a quarter of a second, or not at all."""
        self._draft = self._draft_for(breach, state)
        if self._draft.kind is Kind.ORDERED:
            self._background.do(partial(self._keep, self._draft, durable=False)).wait(INTENT_SECONDS)

    def on_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:
        """Keep and tell what came of it."""
        draft = self._draft or begin(Kind.ORDERED, self.canary, state)
        before = draft.rollback.attempts if draft.kind is Kind.FAILED and draft.rollback else 0
        record = rollback_record(rollback, breach).model_copy(update={"attempts": before + 1})
        kind = Kind.ROLLBACK if rollback.verified else Kind.FAILED
        self._draft = draft.model_copy(update={"kind": kind, "rollback": record})
        self._background.do(partial(self._tell_rollback, self._draft))

    def on_pass(self, done: Pass) -> None:
        """Keep and tell what this pass changed."""
        draft, self._draft = self._draft, None
        self._background.do(partial(self._tell_pass, done, draft))

    def close(self, seconds: float) -> None:
        """Give what is under way some time to end: the documents first, then the messages."""
        if not self._background.close(seconds):
            _log.error("decisions were not kept in time", extra={"seconds": seconds})
        if self.notifier:
            self.notifier.close(seconds)

    def _draft_for(self, breach: Verdict, state: CanaryState | None) -> Decision:
        """A new decision, or that of the rollback which could not be done in the passes before."""
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

    def _tell_rollback(self, decision: Decision) -> None:
        self._keep(decision)
        attempts = decision.rollback.attempts if decision.rollback else 1
        if decision.kind is Kind.ROLLBACK:
            self._notify(decision, Tone.WARNING)
        elif attempts & (attempts - 1) == 0:  # the first, second, fourth, eighth ...
            self._notify(decision, Tone.BAD)

    def _tell_pass(self, done: Pass, draft: Decision | None) -> None:
        if draft is not None and done.rollback is not None:
            verdicts = tuple(map(verdict_record, done.verdicts))
            models = draft.models or dict(self.versions())
            self._keep(draft.model_copy(update={"verdicts": verdicts, "models": models}))
        self._tell_turns(done)
        self._tell_stop(done)

    def _tell_turns(self, done: Pass) -> None:
        turns, was_told_blind = self._memory.turns(done), self._memory.blind_told
        if turns:
            names = {turn.guardrail for turn in turns}
            decision = begin(
                Kind.VERDICT,
                self.canary,
                done.state,
                models=model_versions(*done.verdicts[:1]) or dict(self.versions()),
                verdicts=tuple(verdict_record(one) for one in done.verdicts if one.guardrail in names),
                turns=turns,
                sentence=done.flag_fault
                or (None if done.verdicts else "Nobody gets the challenger, so that nothing is judged."),
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
            verdicts = tuple(map(verdict_record, done.verdicts))
            decision = begin(Kind.BLIND, self.canary, done.state, verdicts=verdicts, sentence=sentence)
            self._keep(decision)
            self._notify(decision, Tone.BAD)

    def _tell_stop(self, done: Pass) -> None:
        if done.stop is None:
            return
        ours = done.rollback is not None and done.rollback.verified
        news = self._memory.stop_news(done.stop, ours=ours, now=datetime.now(UTC))
        if news is None:
            return
        rollback, was_missing = self._memory.rollback_of(done.stop), self._memory.stop_is_missing
        decision = begin(news, self.canary, done.state, stop=stop_record(done.stop, rollback))
        self._keep(decision)
        if news is Kind.NOT_STOPPED:
            self._notify(decision, Tone.BAD)
        elif rollback or was_missing:  # a person who turned the flag off knows it
            self._notify(decision, Tone.GOOD)

    def _notify(self, decision: Decision, tone: Tone) -> None:
        if self.notifier is None:
            return
        lines = list(tell(decision))
        if self.log is not None:
            lines.append(f"More: python -m rollback explain {decision.id}")
        self.notifier.send(Message(title(decision), "\n".join(lines), tone))
