"""The Flask app: settings in, a ready service out."""

import os
import re
from functools import cache

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry

from common.config import load_settings
from service.bulkhead import Bulkhead
from service.container import Parts, assemble
from service.http_metrics import HttpMetrics
from service.problems import register_problems
from service.routes import admin, feedback, health, models, predict, rollout
from service.routes.spec import new_spec, serve
from service.settings import Settings

EXTENSION = "canario"
REQUEST_ID = "X-Request-Id"
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


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
    app = Flask("canario", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1  # Flask refuses what is as large as this
    app.json.sort_keys = False  # type: ignore[attr-defined] # clients read answers in the documented order
    app.extensions[EXTENSION] = parts
    HttpMetrics(app, registry)
    app.before_request(_identify)
    Bulkhead(app, settings.threads)
    app.after_request(_tell_identity)
    register_problems(app)
    spec = new_spec()
    for routes in (predict, feedback, health, admin, models, rollout):
        app.register_blueprint(routes.blueprint(parts, spec))
    serve(spec, app)
    return app


def close(app: Flask) -> None:
    """Stop the background work of `app`."""
    parts: Parts = app.extensions[EXTENSION]
    parts.close()


def _identify() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.made_request_id = not given or not _WELL_FORMED_ID(given)
    g.request_id = os.urandom(16).hex() if g.made_request_id else given


def _tell_identity(response: Response) -> Response:
    response.headers.add(REQUEST_ID, g.get("request_id", ""))
    response.headers.add("Canario-Worker", _worker())  # tells workers apart when one lags behind
    return response


@cache
def _worker() -> str:
    return str(os.getpid())
