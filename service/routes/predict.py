"""POST /predict."""

import orjson
from flask import Blueprint, Response, g, request
from spectree import SpecTree

from common.names import Model
from service.container import Parts
from service.records.schema import prediction
from service.routes.spec import responses
from service.schema import Prediction, Reader


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The prediction route on `parts`."""
    routes = Blueprint("predict", __name__)
    reader, with_features = Reader(parts.models.champion.metadata), parts.settings.log_features

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
        parsed = reader.parse(request)

        def identify(assigned: Model) -> str:
            return parts.feedback.expect(g.request_id, g.made_request_id, parsed.user_id, assigned)

        served = parts.predictor.predict(parsed, identify)
        g.request_id = served.request_id
        parts.log.record(prediction(parsed, served, parts.users, with_features))
        body = {
            "request_id": served.request_id,
            "model": served.model,
            "assigned": served.assigned,
            "reason": served.reason,
            "model_name": served.metadata.name,
            "model_version": served.metadata.version,
            "prediction": served.answer.label,
            "class_name": served.answer.class_name,
            "probability": served.answer.probability,
        }
        return Response(orjson.dumps(body), content_type="application/json")

    return routes
