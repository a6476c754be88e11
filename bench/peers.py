"""What one would write in ten minutes: the peers that the service is measured against.

bare   Flask, gunicorn and the scikit-learn champion: no flag, no metrics, no validation, no log
naive  the same, and the scikit-learn challenger called in the request as well, as it was trained: shadowing
       without a thought
tuned  naive with a thought: the challenger's forest on one thread, as more only cost for one row
"""

import numpy as np
from flask import Flask, Response, jsonify, request
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from common.names import Model
from service.train import SEED, TEST_SHARE, example_models


def bare() -> Flask:
    """Answers with the champion."""
    return _answering()


def naive() -> Flask:
    """Answers with the champion, and asks the challenger too."""
    return _answering(_fitted(Model.CHALLENGER))


def tuned() -> Flask:
    """The same with the challenger's forest on one thread."""
    return _answering(_fitted(Model.CHALLENGER).set_params(randomforestclassifier__n_jobs=1))


def _answering(*asked_too: Pipeline) -> Flask:
    app = Flask("peer")
    names, champion = list(load_breast_cancer().feature_names), _fitted(Model.CHAMPION)

    @app.post("/predict")
    def predict() -> Response:
        features = request.get_json()["features"]
        row = np.array([[features[name] for name in names]])
        for each in asked_too:
            _answer(each, row)
        return jsonify(_answer(champion, row))

    return app


def _fitted(role: Model) -> Pipeline:
    data = load_breast_cancer()
    rows, _, labels, _ = train_test_split(
        data.data, data.target, test_size=TEST_SHARE, random_state=SEED, stratify=data.target
    )
    pipeline = example_models()[role][1]
    pipeline.fit(rows, labels)
    return pipeline


def _answer(pipeline: Pipeline, row: np.ndarray) -> dict[str, object]:
    probabilities = pipeline.predict_proba(row)[0]
    best = int(probabilities.argmax())
    # k6's script wants to know who was assigned and why.
    return {
        "prediction": best,
        "probability": float(probabilities[best]),
        "assigned": "champion",
        "reason": "bare",
    }
