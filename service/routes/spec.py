"""The OpenAPI document and its page, made by spectree from the models that the routes declare.

Spectree only documents: bodies are validated by `service.schema`, whose errors are problem documents.
"""

from inspect import unwrap
from typing import Any

from flask import Flask, redirect
from flask.typing import ResponseReturnValue
from spectree import Response, SecurityScheme, SecuritySchemeData, SpecTree
from spectree.models import SecureType

from service.problems import CONTENT_TYPE, Problem

PROBLEMS = {
    400: "The body is no valid JSON.",
    401: "The bearer token is missing or wrong.",
    403: "The admin routes are off.",
    404: "Unleash has no such flag.",
    409: "The flag is in a state that cannot be changed from here.",
    413: "The body is too large.",
    415: "The body is not application/json, or packed by something else than gzip.",
    422: "Fields do not fit; `errors` names them.",
    429: "Too many calls or wrong tokens in the last minute; Retry-After says when to try again.",
    502: "Unleash answered something unexpected.",
    503: "Unleash cannot be reached, or too many ask at once; Retry-After says when to try again.",
}
ADMIN: dict[str, list[str]] = {
    "admin": []
}  # what an operation's `security` says when it needs the bearer token


def new_spec() -> SpecTree:
    """A document without routes; those decorated with its `validate` are in it."""
    return SpecTree(
        "flask",
        title="Canario",
        description="Predictions from a champion model, or a challenger for those whom the flag chooses.",
        version="1",
        path="docs",
        naming_strategy=lambda model: model.__name__,
        mode="strict",
        annotations=False,
        security_schemes=[
            SecurityScheme(name="admin", data=SecuritySchemeData(type=SecureType.HTTP, scheme="bearer"))
        ],
    )


def responses(success: type, *problems: int, status: int = 200) -> Response:
    """The documented responses of a route: `status` with `success`, and these problems."""
    return Response(
        **{f"HTTP_{status}": success}, **{f"HTTP_{each}": (Problem, PROBLEMS[each]) for each in problems}
    )


def serve(spec: SpecTree, app: Flask) -> None:
    """Serve the document at /openapi.json and its page at /docs; call it when all routes are registered."""
    spec.register(app)
    with app.app_context():
        _use_problem_content_type(spec.spec)
    # The document is made: what is wrapped around the busy routes for its sake would only cost time now.
    for busy in ("predict.predict", "feedback.give_feedback"):
        app.view_functions[busy] = unwrap(app.view_functions[busy])
    app.add_url_rule("/docs", view_func=_to_page, endpoint="docs")
    app.add_url_rule("/openapi.json", view_func=_to_document, endpoint="openapi")


def _use_problem_content_type(document: dict[str, Any]) -> None:
    """Spectree knows JSON only; errors are application/problem+json."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation.get("responses", {}).items():
                if int(status) >= 400 and "application/json" in response.get("content", {}):
                    response["content"][CONTENT_TYPE] = response["content"].pop("application/json")


def _to_page() -> ResponseReturnValue:
    return redirect("/docs/swagger/")


def _to_document() -> ResponseReturnValue:
    return redirect("/docs/openapi.json")
