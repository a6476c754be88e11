"""What a client sends and gets: the schema of /predict and the reading of its body."""

from typing import Annotated, Any, NamedTuple

import numpy as np
from flask import Request
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from common.names import Model
from service.artifact import Metadata
from service.body import invalid, read_body
from service.model import Row
from service.problems import Fault

GREATEST = float(np.finfo(np.float32).max)  # models take 32-bit floats; more would become infinite
RESERVED = frozenset({"userId", "environment", "appName", "currentTime", "properties"})

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-GREATEST, le=GREATEST)]
ContextKey = Annotated[str, Field(min_length=1, max_length=64)]
UserId = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^\S(.*\S)?$")]
ContextValue = Annotated[str, Field(max_length=256)] | bool | int | Number


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return "by name"
    return "in order" if isinstance(value, list | tuple) else None


class PredictRequest(BaseModel):
    """Whom to predict for, from what."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"user_id": "u-1", "features": [0.1] * 30, "context": {"country": "NO"}}]
        },
    )

    user_id: UserId = Field(description="The key of the rollout: the same user always gets the same model.")
    features: Annotated[
        Annotated[list[Number], Field(max_length=10_000), Tag("in order")]
        | Annotated[dict[str, Number], Field(max_length=10_000), Tag("by name")],
        Discriminator(
            _kind,
            custom_error_type="features_kind",
            custom_error_message="Input should be a list of numbers or an object of numbers by name",
        ),
    ] = Field(description="Numbers in the order of the model's features, or by the features' names.")
    context: Annotated[dict[ContextKey, ContextValue], Field(max_length=32)] = Field(
        default={}, description="Properties for constraints in Unleash, e.g. country or plan."
    )


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
    prediction: int | str = Field(description="Label of the most probable class.")
    class_name: str
    probability: float = Field(description="Probability of that class.")


class Parsed(NamedTuple):
    """A request that a model can answer."""

    user_id: str
    row: Row
    context: dict[str, str]  # as Unleash compares them: true and false in lower case


def parse(request: Request, metadata: Metadata) -> Parsed:
    """Read the body of `request` for a model described by `metadata`.

    Raises:
        RequestError: see `service.body.read_body`; 422 also for features that the model does not take.
    """
    body = read_body(request, PredictRequest)
    if reserved := sorted(RESERVED & body.context.keys()):
        detail = "This name is reserved for Unleash."
        raise invalid([Fault(field=f"context.{key}", detail=detail) for key in reserved])
    return Parsed(body.user_id, to_row(body.features, metadata.features), _as_text(body.context))


def _as_text(context: dict[str, str | bool | int | float]) -> dict[str, str]:
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in context.items()
    }


def to_row(features: list[float] | dict[str, float], names: list[str]) -> Row:
    """One row of shape (1, len(names)).

    Raises:
        RequestError: 422 when the number or the names of the features do not fit.
    """
    if isinstance(features, list):
        if len(features) != len(names):
            detail = f"The model takes {len(names)} features, the request has {len(features)}."
            raise invalid([Fault(field="features", detail=detail)])
        return np.array([features], dtype=np.float32)
    missing = [
        Fault(field=f"features.{name}", detail="This feature is missing.")
        for name in names
        if name not in features
    ]
    unknown = [
        Fault(field=f"features.{name}", detail="The model has no such feature.")
        for name in features
        if name not in set(names)
    ]
    if missing or unknown:
        raise invalid(missing + unknown)
    return np.array([[features[name] for name in names]], dtype=np.float32)
