"""Reads JSON bodies: whatever does not fit is a problem document that names the fields."""

import sys
import zlib
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from common.config import Location, dotted, plain
from service.problems import Fault, RequestError

SHOWN_FAULTS = 20

Body = TypeVar("Body", bound=BaseModel)


def read_body(request: Request, model: type[Body]) -> Body:
    """The body of `request` as `model`.

    Raises:
        RequestError: 415 for another type or packing, 400 for no JSON, 422 with the fields that do not fit.
        RequestEntityTooLarge: from Flask, when the body is larger than the app's limit.
    """
    if request.mimetype != "application/json":
        raise RequestError(
            415,
            "Unsupported Media Type",
            f"Send JSON with Content-Type: application/json, not {request.mimetype or 'none'}.",
        )
    data = _read(request)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        raise RequestError(400, "Bad Request", f"The body is no valid JSON: {faults[0]['ctx']['error']}.")
    raise invalid(_by_field([(_field(fault["loc"]), plain(fault["msg"])) for fault in faults]))


def _by_field(faults: list[tuple[str, str]]) -> list[Fault]:
    """One fault for each field: one that may be of several types has a fault for each of them."""
    details: dict[str, dict[str, None]] = {}
    for field, detail in faults:
        details.setdefault(field, {})[detail] = None
    return [Fault(field=field, detail="; or: ".join(each)) for field, each in details.items()]


def _read(request: Request) -> bytes:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        detail = "Send the body as it is, or with Content-Encoding: gzip."
        raise RequestError(415, "Unsupported Media Type", detail, headers={"Accept-Encoding": "gzip"})
    try:
        data = request.get_data(cache=False)
        request.stream.read(1)  # Werkzeug cuts a chunked body at the limit, and tells only whoever reads on
    except HTTPException:
        raise
    except TimeoutError as error:
        raise RequestError(408, "Request Timeout", "The body does not come.") from error
    except Exception as error:  # each web server has its own error for chunks that are none
        detail = "The body cannot be read: it is not sent as its headers say."
        raise RequestError(400, "Bad Request", detail) from error
    limit = request.max_content_length or sys.maxsize
    if len(data) >= limit:
        raise RequestEntityTooLarge
    return _inflated(data, limit) if "gzip" in encoding else data


def _inflated(data: bytes, limit: int) -> bytes:
    """What `data` holds, packed by gzip in one part or several: less than `limit` bytes, and never more."""
    whole = b""
    while data or not whole:
        part = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            whole += part.decompress(data, limit - len(whole))
        except zlib.error:
            break
        if len(whole) >= limit:
            raise RequestEntityTooLarge
        if not part.eof:
            break
        data = part.unused_data
    else:
        return whole
    raise RequestError(400, "Bad Request", "The body is no gzip, or not all of it.")


def invalid(faults: list[Fault]) -> RequestError:
    """The 422 that names `faults`, the first SHOWN_FAULTS of them in full."""
    named = ", ".join(fault.field for fault in faults[:3])
    if len(faults) > 3:
        named += f" and {len(faults) - 3} more"
    verb = "1 field does" if len(faults) == 1 else f"{len(faults)} fields do"
    return RequestError(422, "Unprocessable Content", f"{verb} not fit: {named}.", faults[:SHOWN_FAULTS])


def whole(value: Any) -> Any:
    """5 for 5.0: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _field(location: Location) -> str:
    """Pydantic's path without the steps that name alternatives of a union instead of fields."""
    if len(location) > 1 and location[0] == "features":
        location = (location[0], *location[2:3])
    if len(location) > 2 and location[0] == "context":
        location = location[:2]
    return dotted(location) if location else "body"
