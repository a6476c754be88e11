"""The challenger is a guest: it may answer in time; whatever else it does costs the champion's users nothing.

It runs in threads of its own, so many at a time and no more; a caller waits for it until the deadline. A call
that missed its deadline goes on in its thread, and its whole duration is measured when it comes back: the
guardrails see how slow the challenger really is although no user waits for it.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import NamedTuple

from common.names import Model
from service.drill import Drill
from service.model import Answer, InvalidAnswerError, OnnxModel, Row
from service.telemetry import Telemetry


class Failure(NamedTuple):
    """Why the challenger has no answer: timeout, busy, exception or invalid."""

    reason: str


class Guest:
    """Asks the challenger.

    Args:
        deadline_seconds: how long a caller waits at most.
        concurrency: calls in flight at most. One more waits for room for a tenth of the deadline, which is
            many times what a healthy call takes, and is then refused as `busy`.
    """

    def __init__(
        self,
        model: OnnxModel,
        drill: Drill,
        telemetry: Telemetry,
        *,
        deadline_seconds: float,
        concurrency: int,
    ) -> None:
        self._model, self._drill, self._telemetry = model, drill, telemetry
        self._deadline = deadline_seconds
        self._patience = deadline_seconds / 10
        self._room = BoundedSemaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="challenger")

    def ask(self, row: Row) -> Answer | Failure:
        """The challenger's answer to `row`, or why there is none. Never raises, never takes long."""
        self._telemetry.called(Model.CHALLENGER)
        if not self._room.acquire(timeout=self._patience):
            return self._failed("busy")
        try:
            future = self._threads.submit(self._call, row)
        except RuntimeError:  # closed: the worker is on its way out
            self._room.release()
            return self._failed("busy")
        try:
            return future.result(timeout=self._deadline)
        except TimeoutError:
            return self._failed("timeout")
        except InvalidAnswerError:
            return self._failed("invalid")
        except Exception:  # a guest may raise anything at all
            return self._failed("exception")

    def close(self) -> None:
        """Begin no further call; those in flight are left to themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, row: Row) -> Answer:
        start = time.perf_counter()
        self._telemetry.in_flight.inc()
        try:
            self._drill.before_call()
            return self._model.answer(row)
        finally:
            self._telemetry.finished(Model.CHALLENGER, time.perf_counter() - start)
            self._telemetry.in_flight.dec()
            self._room.release()

    def _failed(self, reason: str) -> Failure:
        self._telemetry.failed(Model.CHALLENGER, reason)
        return Failure(reason)
