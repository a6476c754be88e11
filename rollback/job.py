"""One iteration of the job, from top to bottom.

Read the flag; measure and judge each guardrail; roll back at the first breach that calls for it, or exclude
the segment of users whose breach it is, where the file says so; verify that
the challenger has stopped; renew the lease; record what was decided, and notify people of what is new; count
it all for Prometheus.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from typing import ParamSpec

from common.arms import Arms
from common.errors import CanarioError
from common.prometheus import Prometheus
from flags.canary.state import CanaryState
from rollback.actions.exclude import answer, exclude_segment
from rollback.actions.turn_off import Canary, Rollback, roll_back
from rollback.guardrails.file import Policy
from rollback.guardrails.judging import UNKNOWN_STAGE, Judging
from rollback.guardrails.past import Kept
from rollback.guardrails.segments import Segment
from rollback.guardrails.verdict import Verdict
from rollback.iteration import Iteration, rollback_fields
from rollback.services import JobServices

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class LastOff:
    """When the flag was last seen to be off.

    Where Unleash falls silent after a rollback, the calls that asked for it are still young. They are of an
    exposure that is over, and must not ask for another.
    """

    def __init__(self) -> None:
        self._at = float("-inf")

    def note(self, state: CanaryState | None) -> None:
        """What Unleash says just now; None where it says nothing, which changes nothing."""
        if state is not None:
            self._at = float("-inf") if state.exposed else time.monotonic()

    def unknown_stage(self) -> timedelta:
        """How long ago a stage began of which Unleash does not tell; whole seconds, at least one."""
        age = max(1.0, time.monotonic() - self._at)
        return UNKNOWN_STAGE if age > UNKNOWN_STAGE.total_seconds() else timedelta(seconds=int(age))


@dataclass(frozen=True)
class Job:
    """What an iteration needs.

    It keeps from one to the next when it saw the flag off, and what it read of the stage and made of that,
    so as not to do it again: a new job decides the same.
    """

    policy: Policy
    prometheus: Prometheus
    canary: Canary
    arms: Arms
    """Where Prometheus sees both models."""
    dry_run: bool = False
    """Judge, and turn nothing off."""
    undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
    """Puts off the end of the process while a rollback is under way."""
    services: JobServices | None = None
    """What follows a judgement; a dry run has none."""
    _off: LastOff = field(default_factory=LastOff)
    _kept: Kept = field(default_factory=Kept)

    def run(self, *, wait: bool = False) -> Iteration:
        """Make one iteration. Errors of Unleash and Prometheus are part of it; only a bug raises.

        With `wait` a rollback is followed until the challenger is seen to stop; without, no service takes
        longer than two questions to Prometheus.
        """
        began = time.monotonic()
        state, flag_error = self._read_flag()
        verdicts, rollback = self._guard(state)
        seconds = time.monotonic() - began
        iteration = Iteration(state, flag_error, self.dry_run, seconds, verdicts, rollback)
        if self.services is None:
            return iteration
        whole = rollback if rollback and not rollback.excluded else None
        stop = self.services.stop.verify(state, whole)
        if wait and whole is not None and whole.verified:
            stop = self.services.stop.wait()
        iteration = replace(iteration, stop=stop)
        _attempt(self.services.lease.renew_if_due, iteration)
        _attempt(self.services.blocker.ensure_alive)
        _attempt(self.services.recorder.after_iteration, iteration)  # and notifies people of what is new
        _attempt(self.services.metrics.after_iteration, iteration)
        return iteration

    def _read_flag(self) -> tuple[CanaryState | None, str | None]:
        """The flag, and what is wrong with it. Not to know it is no reason not to guard it."""
        try:
            state = self.canary.read()
        except CanarioError as error:
            return None, str(error)
        self._off.note(state)
        # A flag that is off with odd strategies troubles nobody. One that is gone, or has none left, is
        # perhaps not the flag that the service asks for: the job would guard nothing, and say it is fine.
        return state, state.trouble if state.exposed or not state.strategies else None

    def _guard(self, state: CanaryState | None) -> tuple[tuple[Verdict, ...], Rollback | None]:
        """The verdicts in the order of the file, and what became of a rollback if one was due."""
        if state is not None and not state.exposed:
            return (), None
        judging = Judging(
            self.prometheus,
            self.policy,
            self.arms,
            state,
            self._off.unknown_stage(),
            self._kept,
        )
        verdicts: dict[str, Verdict] = {}
        rollback = None
        # A breach is acted on at once: guardrails after it, perhaps slow ones, must not hold it up.
        for batch in _in_batches(judging.verdicts()):
            verdicts |= {verdict.guardrail: verdict for verdict in batch}
            breaches = [verdict for verdict in batch if verdict.calls_for_rollback]
            if breaches and not self.dry_run:
                rollback = self._answer(breaches, verdicts, state, rollback)
        every = (*self.policy.guardrails, *(guardrail for guardrail, _ in self.policy.missing))
        in_order = (verdicts.get(guardrail.name) for guardrail in every)
        return tuple(verdict for verdict in in_order if verdict), rollback

    def _answer(
        self,
        breaches: Sequence[Verdict],
        seen: Mapping[str, Verdict],
        state: CanaryState | None,
        done: Rollback | None,
    ) -> Rollback:
        """What is done about breaches, after what was `done` in this iteration: nothing is done twice."""
        if done and not done.excluded:
            return done
        segment = answer(breaches, self.policy, seen, state)
        if done and segment and done.excluded == str(segment):
            return done
        return self._roll_back(breaches[0], state, None if done else segment)

    def _roll_back(self, breach: Verdict, state: CanaryState | None, segment: Segment | None) -> Rollback:
        """Exclude the segment, or turn the flag off where there is none or it cannot be excluded."""
        with self.undisturbed():
            if self.services:  # why it is about to be done is kept first, so that it outlives a kill
                _attempt(self.services.recorder.before_rollback, breach, state)
            rollback = exclude_segment(self.canary, breach, segment) if segment else None
            if rollback is None or not rollback.verified:
                if rollback:
                    told = {"excluded": rollback.excluded, "error": rollback.error}
                    _log.error("segment NOT excluded, so the flag is turned off", extra=told)
                rollback = roll_back(self.canary, breach)
            self._off.note(rollback.after)
            if self.services:
                _attempt(self.services.metrics.after_rollback, rollback, breach)
                _attempt(self.services.recorder.after_rollback, rollback, breach, state)
                if not rollback.excluded:  # the others keep the version
                    _attempt(
                        self.services.blocker.block, breach
                    )  # also where the flag is not known to be off
            log = _log.warning if rollback.verified else _log.error
            message = "canary rolled back" if rollback.verified else "canary NOT rolled back"
            message = "segment excluded" if rollback.excluded else message
            log(message, extra=rollback_fields(rollback, breach, self.canary, state))
        return rollback


def _in_batches(verdicts: Iterable[Verdict]) -> Iterator[list[Verdict]]:
    """One by one, but those of segments together: they come at once, and are answered by all of them."""
    for of_segments, found in groupby(verdicts, key=lambda one: one.segment is not None):
        if of_segments:
            yield list(found)
        else:
            for one in found:
                yield [one]


def _attempt(step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """What follows a judgement neither fails it nor the steps after it: a bug there is logged."""
    try:
        step(*args, **kwargs)
    except Exception as error:
        _log.exception("a service of the job failed", extra={"error": f"{type(error).__name__}: {error}"})
