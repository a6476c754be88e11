"""Asks the challenger, and answers for what that may cost: never an exception, never more than the deadline.

After repeated failures a circuit breaker leaves it alone for a while, then tries with one call.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from common.logs import ErrorLog
from common.names import Model
from service.challenger.pool import NoReplyError
from service.challenger.protocol import Outcome, Reply
from service.metrics.service import HOST_REASONS, ServiceMetrics
from service.models.artifact import Metadata
from service.models.onnx_model import Answer, InvalidAnswerError, Row, interpret_rows

log = logging.getLogger(__name__)

FAILURES = 5  # in a row, until the breaker opens
FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 30.0


class Failure(NamedTuple):
    """Why the challenger has no answer: one of CHALLENGER_FAILURES or HOST_REASONS."""

    reason: str


class Worker(Protocol):
    """Where a challenger is asked: its process, or an endpoint."""

    @property
    def is_up(self) -> bool:
        """Whether it can be called."""

    @property
    def is_starting(self) -> bool:
        """Whether it never could."""

    @property
    def trouble(self) -> str | None:
        """Why not, as far as is known."""

    def start(self, given_up: Callable[[], bool] | None = None) -> None:
        """Make it ready; returns when it is, has failed, or is wanted no more."""

    def call(self, row: Row, deadline_seconds: float) -> Reply:
        """The reply to rows, shape (n, features). Raises NoReplyError."""

    def call_batch(self, rows: Row, deadline_seconds: float) -> Reply:
        """The reply to a batch, apart from those of `call`. Raises NoReplyError."""

    def close(self) -> None:
        """End it."""


class Breaker:
    """Leaves alone for a while what fails again and again.

    Closed: calls go through. Open: they do not. Half open: one goes through and decides. Each time that one
    fails the rest doubles, up to LONGEST_REST_SECONDS. Safe to use from several threads.

    Args:
        on_change: called with True when it opens and False when it closes.
        clock: seconds; for tests.
    """

    def __init__(
        self, on_change: Callable[[bool], None] = lambda _: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_change, self._clock = on_change, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._rest = FIRST_REST_SECONDS
        self._opened_until: float | None = None
        self._trial = False

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away (but for the one on trial)."""
        return self._opened_until is not None

    def admits(self) -> bool:
        """Whether a call may go through now; whoever is admitted says afterwards what came of it."""
        if self._opened_until is None:
            return True
        with self._lock:
            if self._opened_until is None:
                return True
            if self._trial or self._clock() < self._opened_until:
                return False
            self._trial = True
            return True

    def not_asked(self) -> None:
        """A call that was admitted never reached the model: that says nothing, and the next may try."""
        if self._trial:
            with self._lock:
                self._trial = False

    def succeeded(self) -> None:
        """A call that was admitted brought an answer in time."""
        if not self._failures and self._opened_until is None:
            return
        with self._lock:
            was_open = self._opened_until is not None
            self._failures, self._opened_until, self._trial = 0, None, False
            self._rest = FIRST_REST_SECONDS
        if was_open:
            self._on_change(False)

    def failed(self) -> None:
        """A call that was admitted brought none."""
        with self._lock:
            self._failures += 1
            was_open = self._opened_until is not None
            if was_open and self._trial:
                self._rest = min(2 * self._rest, LONGEST_REST_SECONDS)
            elif was_open or self._failures < FAILURES:
                return
            self._trial = False
            self._opened_until = self._clock() + self._rest
        if not was_open:
            self._on_change(True)


class ChallengerClient:
    """The challenger, for whoever wants its answer. Make it after the fork of a worker.

    Each call counts, also one that the breaker turns away, and each failure counts against the challenger:
    guardrails would otherwise see less of a challenger the worse it is. A call that never reached it because
    of this host is counted apart, and is neither.

    Args:
        deadline_seconds: of a call.
        call_rows: rows that the worker takes at a time.

    Attributes:
        worker: its process, or what asks it elsewhere.
        breaker: whether calls are made at all.
    """

    def __init__(
        self,
        worker: Worker,
        metadata: Metadata,
        metrics: ServiceMetrics,
        *,
        deadline_seconds: float,
        call_rows: int,
    ) -> None:
        self.worker, self._metadata = worker, metadata
        self._metrics, self._deadline, self._most = metrics, deadline_seconds, call_rows
        self.breaker = Breaker(self._breaker_changed)
        self._errors = ErrorLog(log, "the challenger fails: %s")

    def ask(self, rows: Row, until: float = math.inf) -> list[Answer] | Failure:
        """The challenger's answers to `rows`, shape (n, features), or why there are none.

        Never raises; returns by the deadline.

        Args:
            until: moment by the monotonic clock, where the request has asked for other users before.
        """
        seconds = self._deadline if until == math.inf else min(self._deadline, until - time.monotonic())
        if seconds <= 0:
            self._metrics.prevented.labels("crowded").inc()
            return Failure("crowded")
        if not self.breaker.admits():
            return self._failed("open")
        answers = self._call(rows, seconds)
        if not isinstance(answers, Failure):
            self._metrics.calls.labels(Model.CHALLENGER).inc()
            self.breaker.succeeded()
            return answers
        if answers.reason in HOST_REASONS:
            self._metrics.prevented.labels(answers.reason).inc()
            self.breaker.not_asked()
            return answers
        self.breaker.failed()
        return self._failed(answers.reason)

    def lack(self) -> Failure:
        """Count a call that cannot be made, because the request lacks what the challenger needs."""
        return self._failed("features")

    def _call(self, rows: Row, seconds: float) -> list[Answer] | Failure:
        """As `ask`; the breaker has admitted it."""
        self._metrics.in_flight.inc()
        try:
            replies = (
                [self.worker.call(rows, seconds)]
                if len(rows) <= self._most
                else self._in_parts(rows, seconds)
            )
        except NoReplyError as error:
            return Failure(error.reason)
        finally:
            self._metrics.in_flight.dec()
        self._metrics.latency.labels(Model.CHALLENGER).observe(sum(reply.seconds for reply in replies))
        answers: list[Answer] = []
        try:
            for reply, at in zip(replies, range(0, len(rows), self._most), strict=True):
                if reply.outcome is not Outcome.ANSWERED:
                    self._errors.warn(reply.text)
                    return Failure("exception")
                answers += interpret_rows(reply.numbers, min(self._most, len(rows) - at), self._metadata)
        except (ValueError, InvalidAnswerError) as error:
            self._errors.warn(str(error))
            return Failure("invalid")
        return answers

    def _in_parts(self, rows: Row, seconds: float) -> list[Reply]:
        """The replies to more rows than a packet holds, by one deadline. Raises NoReplyError."""
        end = time.monotonic() + seconds
        parts = [rows[at : at + self._most] for at in range(0, len(rows), self._most)]
        return [self.worker.call(part, max(0.001, end - time.monotonic())) for part in parts]

    def _failed(self, reason: str) -> Failure:
        self._metrics.calls.labels(Model.CHALLENGER).inc()
        self._metrics.errors.labels(Model.CHALLENGER, reason).inc()
        return Failure(reason)

    def _breaker_changed(self, is_open: bool) -> None:
        self._metrics.breaker_open.set(is_open)
        if is_open:
            log.warning("the challenger fails again and again: its circuit breaker opens")
        else:
            log.info("the challenger answers again: its circuit breaker closes")
