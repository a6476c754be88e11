"""Errors as problem documents (RFC 9457): one place maps what went wrong to what a client reads."""

from typing import Any

from flask import Flask, Response, current_app, g, json, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from common.config import Location, dotted, plain
from common.errors import CanarioError
from service.models.onnx_model import InvalidAnswerError, NoAnswerError

CONTENT_TYPE = "application/problem+json"
SHOWN_FAULTS = 20


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


class InferProblem(Problem):
    """A problem as clients of the Open Inference Protocol read it."""

    error: str = Field(description="As detail.")


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


def misfit(error: ValidationError, under: str = "") -> RequestError:
    """What pydantic says of a body, as a 400 where it is no JSON, else as the 422 that names the fields.

    Args:
        under: the field that was validated, where it was not the whole body.
    """
    faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return RequestError(400, "Bad Request", f"The body is no valid JSON: {faults[0]['ctx']['error']}.")
    # One fault for each field: one that may be of several types has a fault for each of them.
    details: dict[str, dict[str, None]] = {}
    for fault in faults:
        details.setdefault(under + _field(fault["loc"]), {})[plain(fault["msg"])] = None
    return invalid([Fault(field=field, detail="; or: ".join(each)) for field, each in details.items()])


def invalid(faults: list[Fault]) -> RequestError:
    """The 422 that names `faults`, the first SHOWN_FAULTS of them in full."""
    named = ", ".join(fault.field for fault in faults[:3])
    if len(faults) > 3:
        named += f" and {len(faults) - 3} more"
    verb = "1 field does" if len(faults) == 1 else f"{len(faults)} fields do"
    return RequestError(422, "Unprocessable Content", f"{verb} not fit: {named}.", faults[:SHOWN_FAULTS])


def _field(location: Location) -> str:
    """Pydantic's path without the steps that name alternatives of a union instead of fields."""
    if len(location) > 1 and location[0] == "features":
        location = (location[0], *location[2:3])
    if len(location) > 2 and location[0] == "rows":
        location = (*location[:2], *location[3:4])
    if len(location) > 2 and location[0] == "context":
        location = location[:2]
    return dotted(location) if location else "body"


def register_problems(app: Flask) -> None:
    """Answer every error of `app` with a problem document; a bug is logged, and says nothing of itself."""
    app.register_error_handler(RequestError, _for_request_error)
    app.register_error_handler(HTTPException, _for_http_exception)
    app.register_error_handler(InvalidAnswerError, _for_no_answer)
    app.register_error_handler(NoAnswerError, _for_no_champion)
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


def _for_no_champion(_: NoAnswerError) -> Response:
    # Where it is, and what it said, is for the log.
    detail = "The champion, which runs elsewhere, does not answer: try again in a second."
    return _respond(503, "Service Unavailable", detail, [], {"Retry-After": "1"})


def _for_bug(error: Exception) -> Response:
    current_app.logger.exception(
        "unexpected error",
        extra={"request_id": g.get("request_id"), "trace_id": g.get("trace_id")},
        exc_info=error,
    )
    return _respond(500, "Internal Server Error", "The service failed. The log has the request id.", [], {})


def _respond(status: int, title: str, detail: str, faults: list[Fault], headers: dict[str, str]) -> Response:
    problem: dict[str, Any] = Problem(
        title=title, status=status, detail=detail, request_id=g.get("request_id", ""), errors=faults
    ).model_dump(exclude_defaults=False)
    if request.path.startswith("/v2"):
        problem["error"] = detail
    return Response(json.dumps(problem), status=status, headers=headers, content_type=CONTENT_TYPE)
