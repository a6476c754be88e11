"""The Flask app: settings in, a ready service out; and what each request passes before its route."""

import os
import re
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from flask.sessions import NullSession, SessionInterface
from prometheus_client import CollectorRegistry
from werkzeug.wsgi import ClosingIterator

from common.config import load_settings
from service import infer, invocations, predict
from service.api import admin, assign, feedback, rollout, status
from service.api.openapi import new_spec, schema_of, serve
from service.api.problems import RequestError, register_problems
from service.metrics.service import HttpMetrics
from service.parts import Parts, assemble
from service.settings import Settings
from service.spans import trace_id

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EXTENSION = "canario"
REQUEST_ID = "X-Request-Id"
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
# Nothing in them waits for anything else.
AT_ONCE = frozenset({"/predict", "/feedback", "/invocations", "/healthz", "/readyz", "/ping", assign.PATH})
INFERENCE = "/v2"
_FULL = "canario.full"


class NoSessions(SessionInterface):
    """The service has no secret key, hence no sessions: each request gets the one that says so."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, *_: Any, **__: Any) -> NullSession:
        """Nobody's session."""
        return self._none


class Service(Flask):
    """Flask without what no request here needs, and each would pay for."""

    session_interface = NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none is a coroutine."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """A service on `settings`, or on the environment. Call it in a worker, after the fork.

    Its parts are in `app.extensions["canario"]`; whoever stops the app calls their `close()`.

    Raises:
        ConfigError: a setting does not fit.
        ArtifactError: a model must not be served.
    """
    settings = settings or load_settings(Settings)
    registry = CollectorRegistry()
    parts = assemble(settings, registry)
    app = Service("canario", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1  # Flask refuses what is as large as this
    app.json.sort_keys = False  # type: ignore[attr-defined] # clients read answers in the documented order
    app.extensions[EXTENSION] = parts
    HttpMetrics(app, registry)
    app.before_request(_name_request)
    parts.spans.watch(app)
    Bulkhead(app, settings.threads)
    app.after_request(_name_answer)
    register_problems(app)
    spec = new_spec()
    for routes in (predict, infer, invocations, feedback, status, admin, rollout):
        app.register_blueprint(routes.blueprint(parts, spec))
    app.register_blueprint(assign.blueprint(parts))
    app.wsgi_app = AnyPath(app.wsgi_app)  # type: ignore[method-assign]
    serve(
        spec,
        app,
        settings.model_name,
        lambda: schema_of(parts.reloader.lineup.models.interface, settings.max_rows),
    )
    return app


def close(app: Flask) -> None:
    """Stop the background work of `app`."""
    parts: Parts = app.extensions[EXTENSION]
    parts.close()


def _name_request() -> None:
    of_request, environ = g._get_current_object(), request.environ
    given = environ.get("HTTP_X_REQUEST_ID", "")
    made = of_request.made_request_id = not given or not _WELL_FORMED_ID(given)
    of_request.request_id = os.urandom(16).hex() if made else given
    of_request.trace_id = trace_id(environ) if "HTTP_TRACEPARENT" in environ else None


def _name_answer(response: Response) -> Response:
    response.headers.add(REQUEST_ID, g.get("request_id", ""))
    response.headers.add("Canario-Worker", _worker())  # tells workers apart when one lags behind
    return response


@cache
def _worker() -> str:
    return str(os.getpid())


class AnyPath:
    """Brings every request below /assign to the one route.

    A proxy asks with the method and the path of its client, whatever they are, and takes any answer but 200
    for a refusal: a redirect of `//` or a 405 would be the client's.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """See WSGI."""
        path = environ.get("PATH_INFO", "")
        if path.startswith(f"{assign.PATH}/"):
            environ |= {"PATH_INFO": assign.PATH, "QUERY_STRING": "", "REQUEST_METHOD": "GET"}
        return self._app(environ, start_response)


class Bulkhead:
    """Keeps routes that are slow at times to a part of the threads: the others are for predictions.

    `/admin` waits for Unleash and Prometheus, `/metrics` reads every worker's files, and the pages of `/docs`
    are large, so that a slow client holds the thread that sends one. Each of the three has a quarter of the
    threads, and a request keeps its place until its answer is sent.
    """

    def __init__(self, app: Flask, threads: int) -> None:
        self._places = max(1, threads // 4)
        self._admin, self._metrics, self._rest = (threading.Semaphore(self._places) for _ in range(3))
        self._app: WSGIApplication = app.wsgi_app
        app.wsgi_app = self  # type: ignore[method-assign]
        app.before_request(self._refuse)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, in a place of its kind; without one it is refused by `_refuse`."""
        path = environ.get("PATH_INFO", "")
        if path in AT_ONCE or path.startswith(INFERENCE):
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
