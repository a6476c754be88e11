"""Asks the guest, and answers for what that may cost: never an exception, never more than the deadline."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from common.names import Model
from service.artifact import Metadata
from service.guest.breaker import Breaker
from service.guest.channel import NoReplyError
from service.guest.complaints import Complaints
from service.guest.sandbox import Sandbox, Terms
from service.guest.wire import Outcome, Reply
from service.model import Answer, InvalidAnswerError, Row, interpret
from service.telemetry import HOST_REASONS, Telemetry

log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """Why the challenger has no answer: one of service.telemetry.GUEST_FAILURES or HOST_REASONS."""

    reason: str


class Guest:
    """The challenger, for whoever wants its answer. Make it after the fork of a worker.

    Each call counts, also one that the breaker turns away, and each failure counts against the challenger:
    guardrails would otherwise see less of a challenger the worse it is. A call that never reached it because
    of this host is counted apart, and is neither.
    """

    def __init__(
        self, metadata: Metadata, terms: Terms, telemetry: Telemetry, deadline_seconds: float
    ) -> None:
        self._metadata, self._telemetry, self._deadline = metadata, telemetry, deadline_seconds
        self._breaker = Breaker(self._breaker_changed)
        self._sandbox = Sandbox(
            terms,
            on_late=lambda seconds: telemetry.finished(Model.CHALLENGER, seconds),
            on_start=telemetry.guest_started,
        )
        self._complaints = Complaints(log, "the challenger fails: %s")

    def start(self, given_up: Callable[[], bool] | None = None) -> None:
        """Start the guest's process, and wait until it can be called; see `Sandbox.start`."""
        self._sandbox.start(given_up)

    def ask(self, row: Row) -> Answer | Failure:
        """The challenger's answer to `row`, or why there is none. Never raises; returns by the deadline."""
        if not self._breaker.admits():
            return self._failed("open")
        answer = self._call(row)
        if not isinstance(answer, Failure):
            self._telemetry.called(Model.CHALLENGER)
            self._breaker.succeeded()
            return answer
        if answer.reason in HOST_REASONS:
            self._telemetry.prevented(answer.reason)
            self._breaker.not_asked()
            return answer
        self._breaker.failed()
        return self._failed(answer.reason)

    def ask_batch(self, rows: Row, deadline_seconds: float) -> Reply:
        """The reply to `rows`, not judged, and not counted: guardrails look at what users might have got.

        Raises:
            NoReplyError: there is none.
        """
        return self._sandbox.call_batch(rows, deadline_seconds)

    def close(self) -> None:
        """End the guest's process."""
        self._sandbox.close()

    @property
    def is_up(self) -> bool:
        """Whether there is a process that can be called."""
        return self._sandbox.is_up

    @property
    def trouble(self) -> str | None:
        """Why there is none, in a sentence."""
        return self._sandbox.trouble

    @property
    def is_left_alone(self) -> bool:
        """Whether its breaker turns calls away."""
        return self._breaker.is_open

    def _call(self, row: Row) -> Answer | Failure:
        self._telemetry.in_flight.inc()
        try:
            reply = self._sandbox.call(row, self._deadline)
        except NoReplyError as error:
            return Failure(error.reason)
        finally:
            self._telemetry.in_flight.dec()
        self._telemetry.finished(Model.CHALLENGER, reply.seconds)
        return self._interpret(reply)

    def _interpret(self, reply: Reply) -> Answer | Failure:
        if reply.outcome is not Outcome.ANSWERED:
            self._complaints.tell(reply.text)
            return Failure("exception")
        try:
            return interpret(reply.numbers.tolist(), self._metadata)
        except (ValueError, InvalidAnswerError) as error:
            self._complaints.tell(str(error))
            return Failure("invalid")

    def _failed(self, reason: str) -> Failure:
        self._telemetry.called(Model.CHALLENGER)
        self._telemetry.failed(Model.CHALLENGER, reason)
        return Failure(reason)

    def _breaker_changed(self, is_open: bool) -> None:
        self._telemetry.breaker_open(is_open)
        if is_open:
            log.warning("the challenger fails again and again: it is left alone for a while")
        else:
            log.info("the challenger answers again")
