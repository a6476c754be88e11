"""A circuit breaker: leaves alone for a while what fails again and again."""

import threading
import time
from collections.abc import Callable

FAILURES = 5  # in a row, until the breaker opens
FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 30.0


class Breaker:
    """Closed: calls go through. Open: they do not. Half open: one goes through and decides.

    Each time the trial fails the rest doubles, up to LONGEST_REST_SECONDS. Safe to use from several threads.

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
