"""What a client sends and gets: the schema of /predict and the reading of its body."""

from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from flask import Request
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)

from common.names import Model
from service.artifact import LONGEST_STRING, Metadata
from service.body import invalid, read_body
from service.model import Row, array_of
from service.problems import Fault

GREATEST = 1e30  # models calculate in 32-bit floats, up to 3.4e38: room for their products and sums
RESERVED = frozenset({"userId", "environment", "appName", "currentTime", "properties"})
NO_NUL = r"^[^\x00]*$"  # ONNX Runtime would cut a string there
LONGEST_KEY = 64

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
Value = float | str


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return "by name"
    return "in order" if isinstance(value, list | tuple) else None


def _features(value: Any, told: str) -> Any:
    return Annotated[
        Annotated[list[value], Field(max_length=10_000), Tag("in order")]
        | Annotated[dict[str, value], Field(max_length=10_000), Tag("by name")],
        Discriminator(
            _kind,
            custom_error_type="features_kind",
            custom_error_message=f"Input should be a list of {told} or an object of {told} by name",
        ),
    ]


class PredictRequest(BaseModel):
    """Whom to predict for, from what."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: UserId = Field(description="The key of the rollout: the same user always gets the same model.")
    features: list[Value] | dict[str, Value] = Field(
        description="Values in the order of the model's features, or by the features' names."
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


def request_for(metadata: Metadata) -> type[PredictRequest]:
    """The schema of requests to the model of `metadata`: its own features, by type and name."""
    if not metadata.has_strings:
        features = _features(Number, "numbers")
    elif all(each.type == "string" for each in metadata.features):
        features = _features(Text, "strings")
    else:
        features = _features(Either, "numbers and strings")
    example: dict[str, JsonValue] = {
        "user_id": "u-1",
        "features": {each.name: each.example for each in metadata.features},
        "context": {"country": "NO"},
    }
    made: type[PredictRequest] = create_model(
        "PredictRequest",
        __base__=PredictRequest,
        __doc__=PredictRequest.__doc__,
        features=(
            Annotated[features, WithJsonSchema(_features_schema(metadata))],
            Field(description=PredictRequest.model_fields["features"].description),
        ),
    )
    made.model_config["json_schema_extra"] = {"examples": [example]}
    return made


def _features_schema(metadata: Metadata) -> dict[str, Any]:
    """What a client must send, exactly; how it is told where it does not is `to_row`'s business."""
    of_type = {"number": TypeAdapter(Number).json_schema(), "string": TypeAdapter(Text).json_schema()}
    each = [of_type[feature.type] for feature in metadata.features]
    one = each[0] if len({feature.type for feature in metadata.features}) == 1 else None
    in_order = {"items": one} if one else {"prefixItems": each, "items": False}
    by_name = dict(zip(metadata.names, each, strict=True))
    return {
        "anyOf": [
            {"type": "array", **in_order, "minItems": len(each), "maxItems": len(each)},
            {
                "type": "object",
                "properties": by_name,
                "required": list(by_name),
                "additionalProperties": False,
            },
        ]
    }


class Prediction(BaseModel):
    """The answer, and why this model gave it."""

    request_id: str
    model: Model = Field(description="Who answered.")
    assigned: Model = Field(description="Who should have answered by the flag.")
    reason: str = Field(
        description="flag_on, flag_off, flag_missing, flag_without_strategy, unleash_unknown, or fallback_..."
    )
    model_name: str
    model_version: str
    prediction: int | str | float = Field(
        description="Label of the class that the model chose; a regressor's value."
    )
    class_name: str | None = Field(description="Name of that class; null of a regressor.")
    probability: float | None = Field(description="Probability of that class; null of a regressor.")


class Parsed(NamedTuple):
    """A request that a model can answer."""

    user_id: str
    row: Row
    context: dict[str, str]  # as Unleash compares them, see `as_text`


class Reader:
    """Reads requests to the model of `metadata`.

    Attributes:
        schema: what a request must be.
    """

    def __init__(self, metadata: Metadata) -> None:
        self.schema = request_for(metadata)
        self._metadata = metadata

    def parse(self, request: Request) -> Parsed:
        """Read the body of `request`.

        Raises:
            RequestError: see `service.body.read_body`; 422 also for features that the model does not take.
        """
        body = read_body(request, self.schema)
        if reserved := sorted(RESERVED & body.context.keys()):
            detail = "This name is reserved for Unleash."
            raise invalid([Fault(field=f"context.{key}", detail=detail) for key in reserved])
        return Parsed(body.user_id, to_row(body.features, self._metadata), _as_text(body.context))


def _as_text(context: dict[str, str | bool | int | float]) -> dict[str, str]:
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


def to_row(features: list[Value] | dict[str, Value], metadata: Metadata) -> Row:
    """One row of shape (1, features), of values that are each a number or a string as `request_for` has it.

    Raises:
        RequestError: 422 when the number, the names or the types of the features do not fit.
    """
    if isinstance(features, dict):
        values = _in_order(features, metadata)
    elif len(features) == len(metadata.names):
        values = features
    else:
        detail = f"The model takes {len(metadata.names)} features, the request has {len(features)}."
        raise invalid([Fault(field="features", detail=detail)])
    if metadata.has_strings:
        _check_types(values, metadata, by_name=isinstance(features, dict))
    return array_of([values], metadata)


def _in_order(features: dict[str, Value], metadata: Metadata) -> list[Value]:
    names = metadata.names
    if len(features) == len(names):
        try:
            return [features[name] for name in names]
        except KeyError:
            pass
    known = set(names)
    missing, unknown = "This feature is missing.", "The model has no such feature."
    raise invalid(
        [Fault(field=f"features.{name}", detail=missing) for name in names if name not in features]
        + [Fault(field=f"features.{name}", detail=unknown) for name in features if name not in known]
    )


def _check_types(values: list[Value], metadata: Metadata, *, by_name: bool) -> None:
    faults = [
        Fault(
            field=f"features.{feature.name}" if by_name else f"features[{at}]",
            detail=f"Input should be a {feature.type}",
        )
        for at, (value, feature) in enumerate(zip(values, metadata.features, strict=True))
        if isinstance(value, str) is not (feature.type == "string")
    ]
    if faults:
        raise invalid(faults)
