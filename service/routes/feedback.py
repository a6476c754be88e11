"""POST /feedback."""

from typing import Annotated, Any

import orjson
from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from spectree import SpecTree

from common.names import Model
from service.body import read_body
from service.container import Parts
from service.feedback.outcomes import NAME
from service.routes.spec import responses
from service.schema import UserId

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Outcome = Annotated[str, Field(pattern=NAME)]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e300, le=1e300)]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class FeedbackRequest(BaseModel):
    """What came of a prediction. Names either the request or the user."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"request_id": "order-17", "outcome": "bought", "value": 49.9}],
            "oneOf": [{"required": ["request_id"]}, {"required": ["user_id"]}],
        },
    )

    # No null: what is not known is left out.
    request_id: RequestId = Field(
        default="", description="`request_id` of the answer.", json_schema_extra=_without_default
    )
    user_id: UserId = Field(
        default="",
        description="The user, where the request is not known any more.",
        json_schema_extra=_without_default,
    )
    outcome: Outcome = Field(description="What happened, e.g. bought or wrong.")
    value: Value | None = Field(default=None, description="How much, where that can be said.")

    @model_validator(mode="after")
    def _names_one(self) -> "FeedbackRequest":
        if len(self.model_fields_set & {"request_id", "user_id"}) != 1:
            raise ValueError("Give either request_id or user_id")
        return self


class FeedbackTaken(BaseModel):
    """What became of it."""

    known: bool = Field(description="Whether the service knows which model was assigned.")
    duplicate: bool = Field(description="Told before; it was not counted again.")
    assigned: Model | None = Field(description="The model that it counts for.")
    counted_as: str = Field(description="`outcome` in the metrics: as sent, or `other`.")


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The feedback route on `parts`."""
    routes = Blueprint("feedback", __name__)
    feedback = parts.feedback

    @routes.post("/feedback")
    @spec.validate(
        json=FeedbackRequest,
        resp=responses(FeedbackTaken, 400, 413, 415, 422, status=202),
        tags=["feedback"],
        skip_validation=True,
    )
    def give_feedback() -> Response:
        """Tell what came of a prediction.

        It counts for the model that was assigned to the request (`outcomes_total`), and is logged. What the
        service does not know is taken too, and marked.
        """
        body = read_body(request, FeedbackRequest)
        if body.request_id:
            told = feedback.about_request(body.request_id, body.outcome, body.value)
        else:
            told = feedback.about_user(body.user_id, body.outcome, body.value)
        answer = {
            "known": told.assigned is not None,
            "duplicate": told.is_duplicate,
            "assigned": told.assigned,
            "counted_as": told.counted_as,
        }
        return current_app.response_class(orjson.dumps(answer), status=202, mimetype="application/json")

    return routes
