"""How many threads of a worker may be in routes that are slow at times: the others are for predictions.

`/admin` waits for Unleash and Prometheus, `/metrics` reads every worker's files, and the pages of `/docs` are
large, so that a slow client holds the thread that sends one. Each of the three has places of its own.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from flask import Flask, request
from werkzeug.wsgi import ClosingIterator

from service.problems import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AT_ONCE = frozenset(
    {"/predict", "/feedback", "/healthz", "/readyz"}
)  # nothing in them waits for anything else
_FULL = "canario.full"

Answer = TypeVar("Answer")


class Bulkhead:
    """Gives each kind of slow route a quarter of the threads, and lets a request go only when it is sent."""

    def __init__(self, app: Flask, threads: int) -> None:
        self._places = max(1, threads // 4)
        self._admin, self._metrics, self._rest = (threading.Semaphore(self._places) for _ in range(3))
        self._app: WSGIApplication = app.wsgi_app
        app.wsgi_app = self  # type: ignore[method-assign]
        app.before_request(self._refuse)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, in a place of its kind; without one it is refused by `_refuse`."""
        path = environ.get("PATH_INFO", "")
        if path in AT_ONCE:
            return self._app(environ, start_response)
        places = self._of(path)
        if not places.acquire(blocking=False):
            environ[_FULL] = True
            return self._app(environ, start_response)
        try:
            return ClosingIterator(self._app(environ, start_response), places.release)
        except BaseException:
            places.release()
            raise

    def _of(self, path: str) -> threading.Semaphore:
        if path.startswith("/admin"):
            return self._admin
        return self._metrics if path == "/metrics" else self._rest

    def _refuse(self) -> None:
        if request.environ.get(_FULL):
            raise RequestError(
                503,
                "Service Unavailable",
                f"Each worker answers {self._places} requests of this kind at once: try again in a second.",
                headers={"Retry-After": "1"},
            )


class Shared(Generic[Answer]):
    """What `ask` answered at most `seconds` ago; of callers at the same time, one asks for all."""

    def __init__(
        self, ask: Callable[[], Answer], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._seconds, self._clock = ask, seconds, clock
        self._lock = threading.Lock()
        self._asked: tuple[float, Answer | Exception] | None = None

    def get(self) -> Answer:
        """The answer, or what `ask` raised."""
        with self._lock:
            if self._asked is None or self._clock() - self._asked[0] > self._seconds:
                found: Answer | Exception
                try:
                    found = self._ask()
                except Exception as error:
                    found = error
                self._asked = (self._clock(), found)
            answer = self._asked[1]
        if isinstance(answer, Exception):
            raise answer.with_traceback(None)  # each raise would add to it
        return answer
