"""Trains scikit-learn models for MLServer, in MLServer's venv: `mlserver_model.py FOLDER PORT`."""

# mypy: disable-error-code="no-untyped-call,import-untyped"

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Write the models, and the settings of a server for them on PORT and the two ports after it.

    `fraud` chooses one of two classes, `sizes` says two values.
    """
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    data = load_breast_cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    sizes = LinearRegression().fit(data.data, data.data[:, :2] * [2, 1] + [0, 5])
    for name, each, where in (("fraud", model, folder), ("sizes", sizes, folder / "sizes")):
        where.mkdir(exist_ok=True)
        joblib.dump(each, where / "model.joblib")
        settings = {
            "name": name,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": "v1"},
        }
        (where / "model-settings.json").write_text(json.dumps(settings))
    server = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    server |= {name: port + at for at, name in enumerate(("http_port", "grpc_port", "metrics_port"))}
    (folder / "settings.json").write_text(json.dumps(server))
    json.dump(model.predict_proba(data.data[:50]).tolist(), sys.stdout)


if __name__ == "__main__":
    main()
