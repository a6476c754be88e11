"""What a request for predictions may be, and as rows that a model can answer."""

from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from flask import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError

from service.api.body import read_body
from service.api.problems import Fault, invalid, misfit
from service.models.artifact import LONGEST_STRING, Metadata
from service.models.interface import RequestForm, columns_of_champion
from service.models.onnx_model import Row, array_of

GREATEST = 1e30  # models calculate in 32-bit floats, up to 3.4e38: room for their products and sums
RESERVED = frozenset({"userId", "environment", "appName", "currentTime", "properties"})
NO_NUL = r"^[^\x00]*$"  # ONNX Runtime would cut a string there
LONGEST_KEY = 64
USER_HEADER = "Canario-User"

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-GREATEST, le=GREATEST)]
Text = Annotated[str, Field(strict=True, max_length=LONGEST_STRING, pattern=NO_NUL)]
Either = Annotated[
    Annotated[Number, Tag("number")] | Annotated[Text, Tag("string")],
    Discriminator(lambda value: "string" if isinstance(value, str) else "number"),
]
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
# No control characters, no space at the ends: said without \s, which is another set in each regex engine.
UserId = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x20]([^\x00-\x1f]*[^\x00-\x20])?$")
]
# Names are shown in tables and charts. Values may hold anything: what shows them makes them safe.
NO_CONTROL = r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]+$"
ContextKey = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern=NO_CONTROL)]
ContextValue = Annotated[str, Field(max_length=256)] | bool | Whole | Number
Value = float | str | None  # null: a gap
Features = list[Value] | dict[str, Value]


def list_or_dict(value: Any) -> str | None:
    """Which of the two forms features have; None: neither."""
    if isinstance(value, dict):
        return "by name"
    return "in order" if isinstance(value, list | tuple) else None


def without_default(schema: dict[str, Any]) -> None:
    """For a field that is left out where it is not given; null is none of its values."""
    schema.pop("default", None)


def whole(value: object) -> object:
    """3 for 3.0, which is an integer in JSON Schema; the rest as it came."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class PredictRequest(BaseModel):
    """Whom to predict for, from what."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: UserId = Field(description="The key of the rollout: the same user always gets the same model.")
    features: Features = Field(
        default=[],
        description="Values in the order of the model's features, or by the features' names.",
        json_schema_extra=without_default,
    )
    rows: list[Features] = Field(
        default=[],
        description="Several of them for one user, instead of `features`.",
        json_schema_extra=without_default,
    )
    top_k: Annotated[int, Field(ge=1, le=1000), BeforeValidator(whole)] = Field(
        default=0,
        description="Also tell so many of the most probable classes, each with its probability.",
        json_schema_extra=without_default,
    )
    rank: bool = Field(
        default=False,
        description="Also tell the order of `rows`, the best first: by the value, or by the probability of "
        "the second of two classes.",
        json_schema_extra=without_default,
    )
    context: Annotated[dict[ContextKey, ContextValue], Field(max_length=32)] = Field(
        default={},
        description="Properties for constraints in Unleash, e.g. country or plan.",
        json_schema_extra={
            "propertyNames": {
                "minLength": 1,
                "maxLength": LONGEST_KEY,
                "pattern": NO_CONTROL,
                "not": {"enum": [*sorted(RESERVED)]},
            }
        },
    )


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
