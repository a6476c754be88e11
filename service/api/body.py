"""Reads the bodies of requests: bounded, unpacked where they are packed, and as JSON of a schema."""

import sys
import zlib
from typing import TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from service.api.problems import RequestError, misfit

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
    data = read_bytes(request)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise misfit(error) from None


def read_bytes(request: Request) -> bytes:
    """The body of `request`, unpacked where it is packed by gzip.

    Raises:
        RequestError: 415 for another packing, 400 where it is not what its headers say, 408 for none in time.
        RequestEntityTooLarge: from Flask, when the body is larger than the app's limit.
    """
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
