"""POST /predict."""

from flask import Blueprint, Response, current_app, g, json, request
from spectree import SpecTree

from service.container import Parts
from service.routes.spec import responses
from service.schema import Prediction, Reader


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The prediction route on `parts`."""
    routes = Blueprint("predict", __name__)
    reader = Reader(parts.models.champion.metadata)

    @routes.post("/predict")
    @spec.validate(
        json=reader.schema,
        resp=responses(Prediction, 400, 413, 415, 422),
        tags=["predict"],
        skip_validation=True,
    )
    def predict() -> Response:
        """Predict for a user.

        The flag decides by `user_id` (and `context`) whether the champion or the challenger answers. When the
        challenger fails or is late, the champion answers, and `reason` says so.
        """
        served = parts.predictor.predict(reader.parse(request))
        body = {
            "request_id": g.request_id,
            "model": served.model,
            "assigned": served.assigned,
            "reason": served.reason,
            "model_name": served.metadata.name,
            "model_version": served.metadata.version,
            "prediction": served.answer.label,
            "class_name": served.answer.class_name,
            "probability": served.answer.probability,
        }
        return current_app.response_class(json.dumps(body), mimetype="application/json")

    return routes
