"""A challenger that runs elsewhere, by the door of service.challenger; its health is watched."""

import logging
import threading
import time
from collections.abc import Callable

import orjson

from common.errors import CanarioError
from common.logs import ErrorLog
from common.schedule import keep_running
from service.challenger.pool import NoReplyError
from service.challenger.protocol import Outcome, Reply
from service.models.artifact import Artifact, Metadata
from service.models.onnx_model import Row
from service.remote.description import Remote
from service.remote.endpoint import Answered, AnswerError, Endpoint, EndpointRefuses
from service.remote.tensors import BYTES_BESIDE, largest_answer, numbers_of, request_of
from service.spans import passed_on

log = logging.getLogger(__name__)

NOT_ASKED = "the remote challenger was not asked yet"

LOOK_SECONDS = 2.0  # between two looks at its health
LOOK_DEADLINE_SECONDS = 1.0
SHOWN_BYTES = 200  # of what it says in place of an answer


def ask(endpoint: Endpoint, rows: Row, metadata: Metadata, remote: Remote, seconds: float) -> bytes:
    """What the endpoint answers about `rows`, shape (n, features).

    Raises:
        TimeoutError, EndpointRefuses, ConnectionError, AnswerError: see service.remote.endpoint.
        RaisedError: the endpoint says that it failed.
    """
    path, most = f"/v2/models/{remote.model}/infer", largest_answer(len(rows), metadata)
    said = endpoint.ask("POST", path, request_of(rows, metadata, remote), seconds, most, passed_on())
    if said.status != 200:
        raise RaisedError(f"{remote.url} says {_told(said)}")
    return said.body


class RaisedError(CanarioError):
    """An endpoint has no answer, and says why."""


class RemoteModel:
    """Asks an endpoint for one artifact. Threads may share it."""

    def __init__(self, artifact: Artifact, remote: Remote) -> None:
        self._metadata, self._remote = artifact.metadata, remote
        self.endpoint = Endpoint(remote.url)
        self._path = f"/v2/models/{remote.model}"

    def ask(self, rows: Row, seconds: float) -> Reply:
        """Its reply to `rows`, shape (n, features). Raises as `ask`; AnswerError for what does not fit."""
        begun = time.perf_counter()
        try:
            said = ask(self.endpoint, rows, self._metadata, self._remote, seconds)
        except RaisedError as error:
            return Reply(Outcome.RAISED, time.perf_counter() - begun, str(error).encode())
        numbers = numbers_of(said, len(rows), self._metadata, self._remote)
        return Reply(Outcome.ANSWERED, time.perf_counter() - begun, numbers.tobytes())

    def look(self) -> None:
        """Whether it answers, with the version that it should.

        Raises:
            CanarioError, OSError: not now; the text says why.
        """
        self.endpoint.resolve()
        for path in (f"{self._path}/ready", self._path):
            said = self.endpoint.ask("GET", path, None, LOOK_DEADLINE_SECONDS, BYTES_BESIDE)
            if said.status != 200:
                raise AnswerError(f"{self._remote.url}{path} says {_told(said)}")
        wanted, versions = self._remote.version, _versions(said.body)
        if wanted is not None and versions and wanted not in versions:
            raise AnswerError(
                f"{self._remote.url} has the versions {', '.join(versions)[:SHOWN_BYTES]} of "
                f"{self._remote.model}, not {wanted}: make the model folder again, `python -m service.remote`"
            )


class RemoteWorker:
    """A challenger that runs elsewhere; what it costs is bounded here.

    Args:
        concurrency: calls in flight at most, besides one batch.
        patience_seconds: how long a call waits for its turn.
        deadline_seconds: of a call, usually; with one that has taken half of it the endpoint counts as slow.
        on_late: called with the seconds after which a call was given up.
        on_start: called each time it is found to answer.
    """

    def __init__(  # noqa: PLR0913 - as SupervisedWorker takes a spec
        self,
        artifact: Artifact,
        remote: Remote,
        *,
        concurrency: int,
        patience_seconds: float,
        deadline_seconds: float,
        on_late: Callable[[float], None] = lambda _: None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._remote = RemoteModel(artifact, remote), remote
        self._calls, self._batches = threading.Semaphore(concurrency), threading.Semaphore(1)
        self._patience, self._slow = patience_seconds, deadline_seconds / 2
        self._on_late, self._on_start = on_late, on_start
        self._in_flight: dict[int, float] = {}
        self._answered_at = float("-inf")
        self._trouble: str | None = NOT_ASKED
        self._closed, self._first = threading.Event(), threading.Event()
        self._errors = ErrorLog(log, "the remote challenger fails: %s")

    @property
    def is_up(self) -> bool:
        """Whether it can be called."""
        return self._trouble is None

    @property
    def is_starting(self) -> bool:
        """Whether it was not asked yet."""
        return self._trouble == NOT_ASKED

    @property
    def trouble(self) -> str | None:
        """Why not, as far as is known."""
        return self._trouble

    def start(self, given_up: Callable[[], bool] | None = None) -> None:
        """Look at it, and begin to watch it. `given_up` is for workers that take long to start."""
        del given_up
        self._look()
        keep_running("remote-challenger", self._watch, again_after=LOOK_SECONDS, until=self._closed.is_set)

    def close(self) -> None:
        """Call it no more."""
        self._closed.set()
        self._model.endpoint.close()

    def call(self, rows: Row, deadline_seconds: float) -> Reply:
        """The reply to `rows`, shape (n, features), within the deadline.

        Raises:
            NoReplyError: there is none.
        """
        if not self._calls.acquire(timeout=self._patience):
            oldest = min(self._in_flight.values(), default=float("inf"))
            raise NoReplyError("busy" if time.monotonic() - oldest > self._slow else "crowded")
        me = threading.get_ident()
        self._in_flight[me] = time.monotonic()
        try:
            return self._ask(rows, deadline_seconds, self._on_late)
        finally:
            self._in_flight.pop(me, None)
            self._calls.release()

    def call_batch(self, rows: Row, deadline_seconds: float) -> Reply:
        """The reply to many rows, apart from those of `call`.

        Raises:
            NoReplyError: there is none.
        """
        with self._batches:
            return self._ask(rows, deadline_seconds, lambda _: None)

    def _ask(self, rows: Row, seconds: float, on_late: Callable[[float], None]) -> Reply:
        if self._closed.is_set():
            raise NoReplyError("stopped")
        if self._trouble is not None:
            raise NoReplyError("down")
        begun = time.monotonic()
        try:
            reply = self._model.ask(rows, seconds)
        except TimeoutError:
            on_late(time.monotonic() - begun)  # it took at least this long
            self._errors.warn(f"{self._remote.url} does not answer within {seconds:.3g} s")
            raise NoReplyError("timeout") from None
        except EndpointRefuses as error:
            self._errors.warn(str(error))
            raise NoReplyError("down") from None
        except AnswerError as error:
            self._errors.warn(str(error))
            raise NoReplyError("invalid") from None
        except OSError as error:
            self._errors.warn(f"{self._remote.url} ended the connection: {error}")
            raise NoReplyError("crash") from None
        self._answered_at = time.monotonic()
        return reply

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        begun = time.monotonic()
        try:
            self._model.look()
        except (CanarioError, OSError) as error:
            if self._answered_at > begun:  # meanwhile: it is alive, and too busy to say so
                return
            told = f"the remote challenger does not answer: {error}"
            if self._trouble != told:
                log.error("%s", told)
            self._trouble = told
            return
        if self._trouble is not None:
            log.info("the remote challenger answers at %s", self._remote.url)
            self._on_start()
        self._trouble = None


def _told(said: Answered) -> str:
    """What it says in place of an answer."""
    text = said.body[:SHOWN_BYTES].decode(errors="replace")
    return f"HTTP {said.status}: {' '.join(text.split())}"


def _versions(body: bytes) -> list[str]:
    try:
        versions = orjson.loads(body).get("versions") or []
        return [str(each) for each in versions]
    except (ValueError, AttributeError, TypeError) as error:
        raise AnswerError(f"the metadata are none of the protocol: {error}") from error
