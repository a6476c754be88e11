"""Reads a request for predictions: its body, bounded and unpacked, and of it rows that a model can answer."""

import sys
import zlib
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from service.api.predict_schema import RESERVED, ContextValue, Features, PredictRequest, Value
from service.api.problems import Fault, RequestError, invalid, misfit
from service.models.artifact import Metadata
from service.models.interface import RequestForm, columns_of_champion
from service.models.onnx_model import Row, array_of

USER_HEADER = "Canario-User"
JSON = "application/json"

Body = TypeVar("Body", bound=BaseModel)


class Parsed(NamedTuple):
    """A request that a model can answer.

    Attributes:
        rows: shape (n, features).
        context: as Unleash compares values, see `as_text`.
        is_one: whether it gave `features`, which is one row.
        top_k: how many classes are to be told; 0: that which was chosen alone.
        rank: the order of the rows is to be told.
    """

    user_id: str
    rows: Row
    context: dict[str, str]
    is_one: bool
    top_k: int = 0
    rank: bool = False


def parse(request: Request, schema: type[PredictRequest], metadata: Metadata) -> Parsed:
    """Read the body of a request to the model of `metadata`.

    Args:
        schema: what a request must be, see service.api.openapi.request_for.

    Raises:
        RequestError: see `read_body`; 422 also for features that the model lacks.
    """
    return checked(read_body(request, schema), metadata)


def to_parsed(asked: dict[str, Any], schema: type[PredictRequest], metadata: Metadata) -> Parsed:
    """What another protocol asks, put as a request to /predict.

    Raises:
        RequestError: 422 for fields that do not fit; it names those of /predict.
    """
    try:
        return checked(schema.model_validate(asked), metadata)
    except ValidationError as error:
        raise misfit(error) from None


def user_of_header(request: Request) -> str | None:
    """The user that the header Canario-User names, in UTF-8."""
    told = request.headers.get(USER_HEADER)
    return None if told is None else told.encode("latin-1", "replace").decode("utf-8", "replace")


def checked(body: PredictRequest, metadata: Metadata) -> Parsed:
    """What `body` asks the model of `metadata`.

    Raises:
        RequestError: 422, see `parse`.
    """
    is_one = "features" in body.model_fields_set
    if is_one is ("rows" in body.model_fields_set):
        raise invalid([Fault(field="features", detail="Give either features or rows.")])
    context = to_context(body.context)
    if is_one:
        row = array_of([to_values(body.features, metadata)], metadata)
        return Parsed(body.user_id, row, context, True, body.top_k)
    values = [to_values(each, metadata, f"rows[{at}]") for at, each in enumerate(body.rows)]
    return Parsed(body.user_id, array_of(values, metadata), context, False, body.top_k, body.rank)


def to_context(context: dict[str, ContextValue]) -> dict[str, str]:
    """The context of a request as constraints, the log and reports know it.

    Raises:
        RequestError: 422 for a name that Unleash keeps to itself.
    """
    if reserved := sorted(RESERVED & context.keys()):
        detail = "This name is reserved for Unleash."
        raise invalid([Fault(field=f"context.{key}", detail=detail) for key in reserved])
    return {key: as_text(value) for key, value in context.items()}


def as_text(value: str | bool | int | float) -> str:
    """A value of the context as constraints, the log and reports know it.

    Numbers are written as JavaScript does, hence as Unleash's UI and its SDK for Node do: one number, one
    text. `3`, `3.0` and `3e0` are `3`, and `-0.0` is `0`. Integers keep all of their digits.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or value == 0:
        return str(int(value))
    shortest = Decimal(repr(value))
    if 1e-6 <= abs(value) < 1e21:
        text = format(shortest, "f")
        return text.removesuffix(".0")
    digits, _, exponent = repr(value).partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent):+d}"


def list_or_dict(value: Any) -> str | None:
    """Which of the two forms features have; None: neither."""
    if isinstance(value, dict):
        return "by name"
    return "in order" if isinstance(value, list | tuple) else None


def to_values(features: Features, metadata: Metadata, field: str = "features") -> list[Value]:
    """One row in the order of the features, of values that are a number, a string or null, see `request_for`.

    Raises:
        RequestError: 422 when the number, the names or the types of the features do not fit, or one is null
            in which the model takes no gaps; it tells of `field`.
    """
    if isinstance(features, dict):
        values = _in_order(features, metadata, field)
    elif len(features) == len(metadata.names):
        values = features
    elif len(features) == columns_of_champion(metadata):
        values = [*features, *([None] * (len(metadata.names) - len(features)))]
    else:
        detail = f"The model takes {len(metadata.names)} features, the request has {len(features)}."
        raise invalid([Fault(field=field, detail=detail)])
    if None in values:
        _check_gaps(values, metadata, field, by_name=isinstance(features, dict))
    if metadata.has_strings or isinstance(metadata, RequestForm):
        _check_types(values, metadata, field, by_name=isinstance(features, dict))
    return values


def _in_order(features: dict[str, Value], metadata: Metadata, field: str) -> list[Value]:
    names = metadata.names
    if len(features) == len(names):
        try:
            return [features[name] for name in names]
        except KeyError:
            pass
    known = set(names)
    missing, unknown = "This feature is missing.", "The model has no such feature."
    if isinstance(metadata, RequestForm):
        known |= metadata.ignored
    faults = [
        Fault(field=f"{field}.{name}", detail=missing)
        for name in names
        if name not in features and name not in metadata.gaps
    ] + [Fault(field=f"{field}.{name}", detail=unknown) for name in features if name not in known]
    if faults:
        raise invalid(faults)
    return [features.get(name) for name in names]


def _check_gaps(values: list[Value], metadata: Metadata, field: str, *, by_name: bool) -> None:
    faults = [
        Fault(
            field=f"{field}.{feature.name}" if by_name else f"{field}[{at}]",
            detail=f"The model takes no null in the feature {feature.name}.",
        )
        for at, (value, feature) in enumerate(zip(values, metadata.features, strict=True))
        if value is None and not feature.gaps
    ]
    if faults:
        raise invalid(faults)


def _check_types(values: list[Value], metadata: Metadata, field: str, *, by_name: bool) -> None:
    faults = [
        Fault(
            field=f"{field}.{feature.name}" if by_name else f"{field}[{at}]",
            detail=f"Input should be a {feature.type}",
        )
        for at, (value, feature) in enumerate(zip(values, metadata.features, strict=True))
        if value is not None and isinstance(value, str) is not (feature.type == "string")
    ]
    if faults:
        raise invalid(faults)


def read_body(request: Request, model: type[Body]) -> Body:
    """The body of `request` as `model`.

    Raises:
        RequestError: 415 for another type or packing, 400 for no JSON, 422 with the fields that do not fit.
        RequestEntityTooLarge: from Flask, when the body is larger than the app's limit.
    """
    if request.environ.get("CONTENT_TYPE") != JSON and request.mimetype != JSON:
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
    limit = request.max_content_length or sys.maxsize
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        detail = "Send the body as it is, or with Content-Encoding: gzip."
        raise RequestError(415, "Unsupported Media Type", detail, headers={"Accept-Encoding": "gzip"})
    try:
        data = _whole(request, limit)
    except HTTPException:
        raise
    except TimeoutError as error:
        raise RequestError(408, "Request Timeout", "The body does not come.") from error
    except Exception as error:  # each web server has its own error for chunks that are none
        detail = "The body cannot be read: it is not sent as its headers say."
        raise RequestError(400, "Bad Request", detail) from error
    if len(data) >= limit:
        raise RequestEntityTooLarge
    return _inflated(data, limit) if "gzip" in encoding else data


def _whole(request: Request, limit: int) -> bytes:
    """The body as it came; Werkzeug's own way to it costs four times as much where its length is told."""
    length = request.environ.get("CONTENT_LENGTH", "")
    if length.isdecimal() and int(length) < limit and "HTTP_TRANSFER_ENCODING" not in request.environ:
        data: bytes = request.environ["wsgi.input"].read(int(length))
        if len(data) < int(length):
            raise ClientDisconnected
        return data
    data = request.get_data(cache=False)
    request.stream.read(1)  # Werkzeug cuts a chunked body at the limit, and tells only whoever reads on
    return data


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
