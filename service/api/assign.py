"""/assign: which model a user gets, for a proxy that asks before it routes (Envoy's HTTP `ext_authz`).

The proxy sends the request's method, path and headers without its body. The answer is always 200, and its
header `x-canario-model` names the arm (docs/mesh.md).
"""

from collections.abc import Callable, Mapping
from typing import Final

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers

from common.names import Model
from service.metrics.service import NO_USER
from service.parts import Parts

HEADER: Final = "x-canario-model"
PATH: Final = "/assign"
LONGEST_USER: Final = 256


def blueprint(parts: Parts) -> Blueprint:
    """The route on `parts`. It is in no OpenAPI document: clients never call it."""
    routes = Blueprint("assign", __name__)
    settings = parts.settings
    choose = chooser(parts, settings.assign_user_header, settings.assign_context_headers)

    @routes.get(PATH)
    def assign() -> Response:
        return Response(status=200, headers={HEADER: choose(request.headers)}, content_type="text/plain")

    return routes


def chooser(parts: Parts, user_header: str, context_headers: Mapping[str, str]) -> Callable[[Headers], Model]:
    """From the headers of a request to the model; the champion where they name no user."""
    metrics, assign = parts.metrics, parts.spans.of_flag(parts.assigner.assign, parts.log.user_key)

    def choose(headers: Headers) -> Model:
        user = _text(headers.get(user_header, ""))
        if not user or len(user) > LONGEST_USER:
            metrics.proxy_assignments.labels(Model.CHAMPION, NO_USER).inc()
            return Model.CHAMPION
        context = {
            field: value for field, name in context_headers.items() if (value := _text(headers.get(name, "")))
        }
        model, reason = assign(user, context)
        metrics.proxy_assignments.labels(model, reason).inc()
        return model

    return choose


def _text(value: str) -> str:
    """What a header says in UTF-8, as bodies do; "" where it is none. WSGI gives bytes as Latin-1."""
    try:
        return value.encode("latin-1").decode("utf-8").strip()
    except UnicodeError:
        return ""
