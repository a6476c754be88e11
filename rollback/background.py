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

        With more than a hundred pieces waiting, as behind a disk that hangs, it is left out. Where the
        machine gives no thread it waits for `ensure_alive`, or the next `do`.
        """
        over = threading.Event()
        with self._lock:
            self._busy += 1
        try:
            self._waiting.put_nowait((work, over))
        except Full:
            self._fail("left out, because too much is waiting")
            self._done(over)
        self.ensure_alive()
        return over

    @property
    def is_idle(self) -> bool:
        """Whether all is done that was to be done."""
        return not self._busy

    def close(self, seconds: float) -> bool:
        """Wait until all is done, `seconds` at most; tells whether it is."""
        end = time.monotonic() + seconds
        while self._busy and time.monotonic() < end:
            time.sleep(0.005)
        return not self._busy

    def ensure_alive(self) -> None:
        """Start the thread where work waits and there is none, or it died. Never raises."""
        with self._lock:
            if not self._busy or (self._thread is not None and self._thread.is_alive()):
                return
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()  # not before it is needed, and not before a fork
            except RuntimeError as error:  # the machine gives no more threads: somebody asks again
                _log.error("%s waits", self._name, extra={"error": str(error)})
            else:
                self._thread = thread

    def _run(self) -> None:
        while True:
            work, over = self._waiting.get()
            try:
                work()
            except BaseException as error:  # also SystemExit: it would end the thread, and not the process
                self._fail(f"{type(error).__name__}: {error}")
            self._done(over)

    def _done(self, over: threading.Event) -> None:
        with self._lock:
            self._busy -= 1
        over.set()

    def _fail(self, reason: str) -> None:
        _log.error("%s failed", self._name, extra={"error": reason})
        try:
            self._on_failure()
        except Exception as error:  # who counts the failures must not end the work
            _log.exception("%s: its failure was not counted", self._name, extra={"error": str(error)})
