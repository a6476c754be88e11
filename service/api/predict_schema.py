"""What a request for predictions may be: the schema of its body, for the OpenAPI document too."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from service.models.artifact import LONGEST_STRING

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
Value = float | str | None  # null: a gap
Features = list[Value] | dict[str, Value]


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
