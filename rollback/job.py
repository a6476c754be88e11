"""One pass: read the flag, measure and judge each guardrail, take the challenger away if one is breached."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common.errors import CanarioError
from flags.canary import CanaryState
from rollback.act import Canary, roll_back
from rollback.durations import format_duration
from rollback.guardrails import Policy, Threshold
from rollback.measure import check_fresh, measure
from rollback.observer import Observer, Silent
from rollback.outcome import Pass, Rollback
from rollback.prometheus import Prometheus, PrometheusError
from rollback.report import rollback_fields
from rollback.verdict import Status, Verdict, judge, too_young, without_measurement
from rollback.window import TooYoung, fit_window

# How long ago a stage is taken to have begun when Unleash cannot say: long enough for gross faults to show,
# and short enough that a canary that was mended and restarted is not taken away for the calls of before.
UNKNOWN_STAGE = timedelta(minutes=2)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What a pass needs; it keeps nothing from one pass to the next."""

    policy: Policy
    prometheus: Prometheus
    canary: Canary
    dry_run: bool = False
    """Judge, and turn nothing off."""
    undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
    """Puts off the end of the process while a rollback is under way."""
    observer: Observer = field(default_factory=Silent)
    """Told of a rollback before and after its order."""

    def run(self) -> Pass:
        """Make one pass. Faults of Unleash and Prometheus are part of its outcome; only a bug raises."""
        began = time.monotonic()
        state, fault = self._read_flag()
        if state is not None and not state.exposed:
            return Pass(state=state, flag_fault=fault, dry_run=self.dry_run, seconds=time.monotonic() - began)
        verdicts, rollback = [], None
        # A breach is acted on at once: guardrails after it, perhaps slow ones, must not hold it up.
        for verdict in self._judge_all(state):
            verdicts.append(verdict)
            if verdict.calls_for_rollback and rollback is None and not self.dry_run:
                rollback = self._roll_back(verdict, state)
        return Pass(
            state=state,
            flag_fault=fault,
            verdicts=tuple(verdicts),
            rollback=rollback,
            dry_run=self.dry_run,
            seconds=time.monotonic() - began,
        )

    def _read_flag(self) -> tuple[CanaryState | None, str | None]:
        """The flag, and what is wrong with it. Not to know it is no reason not to guard it."""
        try:
            state = self.canary.read()
        except CanarioError as error:
            return None, str(error)
        # A flag that is off with odd strategies troubles nobody. One that is gone, or has none left, is
        # perhaps not the flag that the service asks for: the job would guard nothing, and say it is fine.
        return state, state.trouble if state.exposed or not state.strategies else None

    def _judge_all(self, state: CanaryState | None) -> Iterator[Verdict]:
        """The verdicts one by one; once Prometheus does not answer, the rest follow without asking it."""
        now, fault = None, None
        for guardrail in self.policy.guardrails:
            if fault is None:
                try:
                    now = now or self._fresh_moment()
                    verdict = self._judge(guardrail, state, now)
                except PrometheusError as error:
                    fault = str(error)
            if fault is not None:
                verdict = without_measurement(guardrail, Status.CANNOT_MEASURE, fault)
            yield verdict

    def _fresh_moment(self) -> datetime:
        """The moment of this pass, by the clock of Prometheus, whose numbers are then fresh."""
        now = self.prometheus.now()
        check_fresh(self.prometheus, self.policy.scrape_interval, now)
        return now

    def _judge(self, guardrail: Threshold, state: CanaryState | None, now: datetime) -> Verdict:
        began = state.changed_at if state else now - UNKNOWN_STAGE
        window = fit_window(guardrail.window, guardrail.hold, self.policy.scrape_interval, began, now)
        if not isinstance(window, TooYoung):
            return judge(measure(self.prometheus, guardrail, window))
        if state is None:
            reach = format_duration(UNKNOWN_STAGE)
            sentence = f"without Unleash only the last {reach} count, which are too short for this guardrail"
            return without_measurement(guardrail, Status.NO_DATA, sentence)
        return too_young(guardrail, window)

    def _roll_back(self, verdict: Verdict, state: CanaryState | None) -> Rollback:
        with self.undisturbed():
            self.observer.on_breach(verdict, state)
            rollback = roll_back(self.canary, verdict)
            self.observer.on_rollback(rollback, verdict, state)
            log = _log.warning if rollback.verified else _log.error
            message = "canary rolled back" if rollback.verified else "canary NOT rolled back"
            log(message, extra=rollback_fields(rollback, verdict, self.canary, state))
        return rollback
