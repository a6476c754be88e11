"""Errors as problem documents (RFC 9457): one place maps what went wrong to what a client reads."""

from typing import Any

from flask import Flask, Response, current_app, g, json
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from common.errors import CanarioError
from service.model import InvalidAnswerError

CONTENT_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="The field, as in features[3] or context.country.")
    detail: str


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[Fault] = []


class RequestError(CanarioError):
    """A request that is answered with a problem document.

    Args:
        status: HTTP status, 4xx or 5xx.
        title: the kind of problem, the same for each of its kind.
        detail: this problem, and what to do.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        faults: list[Fault] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.faults = faults or []
        self.headers = headers or {}


def register_problems(app: Flask) -> None:
    """Answer every error of `app` with a problem document; a bug is logged, and says nothing of itself."""
    app.register_error_handler(RequestError, _for_request_error)
    app.register_error_handler(HTTPException, _for_http_exception)
    app.register_error_handler(InvalidAnswerError, _for_no_answer)
    app.register_error_handler(Exception, _for_bug)


def _for_request_error(error: RequestError) -> Response:
    return _respond(error.status, error.title, error.detail, error.faults, error.headers)


def _for_http_exception(error: HTTPException) -> Response:
    headers = {
        name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "Location")
    }
    return _respond(error.code or 500, error.name, error.description or error.name, [], headers)


def _for_no_answer(_: InvalidAnswerError) -> Response:
    # The champion answered its example at the start: it is this row, e.g. numbers whose sum is infinite.
    detail = "The model has no finite answer for these features: are they what it was trained for?"
    return _respond(422, "Unprocessable Content", detail, [], {})


def _for_bug(error: Exception) -> Response:
    current_app.logger.exception(
        "unexpected error", extra={"request_id": g.get("request_id")}, exc_info=error
    )
    return _respond(500, "Internal Server Error", "The service failed. The log has the request id.", [], {})


def _respond(status: int, title: str, detail: str, faults: list[Fault], headers: dict[str, str]) -> Response:
    problem: dict[str, Any] = Problem(
        title=title, status=status, detail=detail, request_id=g.get("request_id", ""), errors=faults
    ).model_dump(exclude_defaults=False)
    return Response(json.dumps(problem), status=status, headers=headers, content_type=CONTENT_TYPE)
