"""POST /feedback: what came of a prediction counts for the model that was assigned, and is logged."""

import logging
from typing import Annotated

import orjson
from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from spectree import SpecTree

from common.logs import ErrorLog
from common.names import Model
from service.api.openapi import responses
from service.api.predict_schema import UserId, without_default
from service.api.request import read_body
from service.feedback.outcomes import NAME, OTHER
from service.parts import Parts

log = logging.getLogger(__name__)

UNKNOWN = "unknown"  # the label `model` where nobody knows who was assigned

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,136}$")]  # that of a row is longer
Outcome = Annotated[str, Field(pattern=NAME)]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e300, le=1e300)]


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
        default="", description="`request_id` of the answer.", json_schema_extra=without_default
    )
    user_id: UserId = Field(
        default="",
        description="The user, where the request is not known any more.",
        json_schema_extra=without_default,
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
    memory, outcomes, metrics = parts.memory, parts.outcomes, parts.metrics
    no_room = ErrorLog(
        log, f"outcomes are counted as {OTHER!r}, e.g. %s: list yours in CANARIO_FEEDBACK_OUTCOMES"
    )

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
        told = read_body(request, FeedbackRequest)
        request_id = told.request_id or None
        assigned = memory.of_request(request_id) if request_id else memory.of_user(told.user_id)
        # The same outcome of a request counts once. That of a user counts each time: some buy twice.
        is_new = memory.is_new(request_id, told.outcome) if request_id else True
        model = assigned.model if assigned else None
        label, why_other = outcomes.label(told.outcome, assigned is not None)
        if is_new:
            metrics.outcomes.labels(model or UNKNOWN, label).inc()
            if assigned and assigned.bucket and outcomes.is_kept(label):
                metrics.bucket_outcomes.labels(assigned.model, label, assigned.bucket).inc()
            if why_other:
                metrics.outcomes_unnamed.labels(why_other).inc()
            if why_other == "full":
                no_room.warn(told.outcome)
            parts.log.record(
                {
                    "kind": "feedback",
                    "request_id": request_id,
                    "user": None if request_id else parts.log.user_key(told.user_id),
                    "outcome": told.outcome,
                    "value": told.value,
                    "known": assigned is not None,
                    "assigned": model,
                }
            )
        answer = {
            "known": assigned is not None,
            "duplicate": not is_new,
            "assigned": model,
            "counted_as": label,
        }
        return Response(orjson.dumps(answer), status=202, mimetype="application/json")

    return routes
