"""Work that may be slow, fail or hang, done in order by one thread, so that nobody waits for it."""

import logging
import threading
import time
from collections.abc import Callable
from queue import Full, Queue

MOST_WAITING = 100

_log = logging.getLogger(__name__)


class Background:
    """One daemon thread. It does not keep the process from ending; `close` gives it time to finish."""

    def __init__(self, name: str, *, on_failure: Callable[[], None] = lambda: None) -> None:
        """`on_failure` is called for each piece of work that raised or was left out."""
        self._name = name
        self._on_failure = on_failure
        self._waiting: Queue[tuple[Callable[[], None], threading.Event]] = Queue(MOST_WAITING)
        self._busy = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> threading.Event:
        """Have `work` done; the event is set when it is over, also when it raised. Never raises, never waits.

        With more than a hundred pieces waiting, as behind a disk that hangs, it is left out.
        """
        over = threading.Event()
        with self._lock:
            self._busy += 1
            if self._thread is None:  # not before it is needed, and not before a fork
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((work, over))
        except Full:
            self._fail("left out, because too much is waiting")
            self._done(over)
        return over

    def close(self, seconds: float) -> bool:
        """Wait until all is done, `seconds` at most; tells whether it is."""
        end = time.monotonic() + seconds
        while self._busy and time.monotonic() < end:
            time.sleep(0.005)
        return not self._busy

    def _run(self) -> None:
        while True:
            work, over = self._waiting.get()
            try:
                work()
            except Exception as error:
                self._fail(f"{type(error).__name__}: {error}")
            self._done(over)

    def _done(self, over: threading.Event) -> None:
        with self._lock:
            self._busy -= 1
        over.set()

    def _fail(self, reason: str) -> None:
        _log.error("%s failed", self._name, extra={"error": reason})
        self._on_failure()
