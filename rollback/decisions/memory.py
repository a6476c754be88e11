"""What the job has told already, so that it tells news only. Pure: fed with the decisions, in their order.

It decides nothing about the canary. A new process is fed from the decisions log; without a log it may tell
something a second time, and no more. Ages have no sign: where the clock was set back, what is as far ahead
counts as old.
"""

from datetime import datetime, timedelta

from rollback.actions.stop import RECENT, Off, Stop, StopState
from rollback.decisions.record import Decision, Kind, Turn
from rollback.guardrails.verdict import Status, Verdict
from rollback.iteration import Iteration

REMIND = timedelta(minutes=15)
AT_ONCE = timedelta(minutes=1)  # between an order and its event: the clocks of two machines, and a retry
FINE = "fine"
BLIND = Status.CANNOT_MEASURE.value
FLAG = "flag"


class Memory:
    """Of one flag in one environment."""

    def __init__(self, flag: str, environment: str) -> None:
        self._about = (flag, environment)
        self.last: dict[str, str] = {}
        """By guardrail: fine, pause, warn or cannot measure."""
        self.blind_since: datetime | None = None
        self.blind_told = False
        self.failed: Decision | None = None
        """The rollback that could not be done, while that is so."""
        self.rollback: Decision | None = None
        self.ordered: Decision | None = None
        """A rollback of which nobody wrote what came of it: its job was killed."""
        self._stop: tuple[object, Kind, datetime] | None = None

    def learn(self, decision: Decision) -> None:
        """Take in a decision that was made."""
        if (decision.flag, decision.environment) != self._about:
            return
        if decision.kind is Kind.VERDICT:
            self.last |= {turn.guardrail: turn.after for turn in decision.turns}
            if BLIND not in self.last.values():
                self.blind_since, self.blind_told = None, False
            elif self.blind_since is None:
                self.blind_since = decision.time
        elif decision.kind is Kind.BLIND:
            self.blind_told = True
        elif decision.kind is Kind.ORDERED:
            self.ordered = decision
        elif decision.kind is Kind.FAILED:
            self.failed, self.ordered = decision, None
        elif decision.kind is Kind.ROLLBACK:
            self.failed, self.ordered, self.rollback = None, None, decision
        elif decision.kind is Kind.EXCLUDED:
            self.ordered = None
        elif decision.stop is not None:
            off = Off(decision.stop.off_at, revision=decision.stop.off_revision)
            self._stop = (_key(off), decision.kind, decision.time)

    def turns(self, iteration: Iteration) -> tuple[Turn, ...]:
        """The guardrails that changed their verdict in this iteration; `flag` is the reading of the flag."""
        now = {verdict.guardrail: _category(verdict) for verdict in iteration.verdicts}
        if not iteration.verdicts:  # nothing was judged, because nobody gets the challenger
            now = dict.fromkeys(self.last, FINE)
        now[FLAG] = BLIND if iteration.flag_error else FINE
        return tuple(
            Turn(guardrail=name, before=self.last.get(name, FINE), after=after)
            for name, after in now.items()
            if after is not None and after != self.last.get(name, FINE)
        )

    def has_nothing_new(self, iteration: Iteration) -> bool:
        """Tell whether there is nothing to keep or tell of it, as of most."""
        acted = iteration.rollback is not None or iteration.stop is not None
        return not acted and self.blind_since is None and not self.turns(iteration)

    def blind_too_long(self, allowed: timedelta, now: datetime) -> bool:
        """Tell whether it is time to say that nothing could be measured for longer than `allowed`."""
        return self.blind_since is not None and not self.blind_told and abs(now - self.blind_since) > allowed

    def stop_news(self, stop: Stop, *, ours: bool, now: datetime) -> Kind | None:
        """What there is to tell of the stop; `ours`: this iteration has just turned the flag off itself."""
        told = self._stop[1:] if self._stop and self._stop[0] == _key(stop.off) else None
        if stop.state is StopState.VERIFIED:
            recent = ours or stop.looked_at <= stop.off.at + stop.limit + RECENT
            # The end of something: a flag that was made a minute ago, and is off, has stopped nothing.
            ended = ours or stop.last_answer is not None or self.rollback_of(stop) is not None
            new = (recent and ended) if told is None else told[0] is Kind.NOT_STOPPED
            return Kind.STOPPED if new else None
        if stop.failed and (told is None or told[0] is Kind.STOPPED or abs(now - told[1]) > REMIND):
            return Kind.NOT_STOPPED
        return None

    @property
    def stop_is_missing(self) -> bool:
        """Tell whether the last that was told of a stop is that it was not seen."""
        return self._stop is not None and self._stop[1] is Kind.NOT_STOPPED

    def rollback_of(self, stop: Stop) -> Decision | None:
        """The rollback that this stop ends, if the job knows of it."""
        found = self.rollback.rollback if self.rollback else None
        if found and found.off_revision is not None and found.off_revision == stop.off.revision:
            return self.rollback
        if self.ordered and abs(stop.off.at - self.ordered.time) < AT_ONCE:
            return self.ordered
        return None


def _category(verdict: Verdict) -> str | None:
    """None for a rollback, which has a decision of its own."""
    if verdict.status is Status.BREACH:
        return None if verdict.calls_for_rollback else verdict.action.value
    return BLIND if verdict.status is Status.CANNOT_MEASURE else FINE


def _key(off: Off) -> object:
    return off.revision if off.revision is not None else off.at
