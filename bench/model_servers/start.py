"""Trains the champion and serves it as another server's own pages say: `start.py SERVER FOLDER PORT WORKERS`.

Runs in the venv of that server, and imports nothing of ours.
"""

# mypy: ignore-errors

import json
import os
import socket
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "model.joblib"


def main() -> None:
    """Become the server."""
    server, folder, port, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    data = load_breast_cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data.data, data.target)
    folder.mkdir(parents=True)
    joblib.dump(model, folder / MODEL)
    SERVERS[server](folder, port, workers)


def mlserver(folder: Path, port: int, _workers: int) -> None:
    """MLServer 1.7, all in one process whatever `workers` says.

    Its pool of processes does not start with uvloop 0.22, and costs it CPU where it does.
    """
    model = {"name": "fraud", "implementation": "mlserver_sklearn.SKLearnModel"}
    (folder / "model-settings.json").write_text(json.dumps(model | {"parameters": {"uri": f"./{MODEL}"}}))
    ports = {"http_port": port, "grpc_port": _free_port(), "metrics_port": _free_port()}
    settings = ports | {
        "host": "127.0.0.1",
        "debug": False,
        "parallel_workers": 0,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    _become("mlserver.cli.main", "main", "start", str(folder))


def litserve(folder: Path, port: int, workers: int) -> None:
    """LitServe, with as many processes of HTTP as of inference."""
    (folder / "lit_server.py").write_text(
        LIT_SERVER.format(model=str(folder / MODEL), port=port, workers=workers)
    )
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, "lit_server.py"])  # noqa: S606


def bentoml(folder: Path, port: int, workers: int) -> None:
    """BentoML, `workers` processes."""
    (folder / "bento_service.py").write_text(BENTO_SERVICE.format(model=str(folder / MODEL), workers=workers))
    os.environ |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    os.chdir(folder)
    _become(
        "bentoml_cli.cli",
        "cli",
        "serve",
        "bento_service:Champion",
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    )


def mlflow(folder: Path, port: int, workers: int) -> None:
    """`mlflow models serve`, `workers` processes."""
    import mlflow.sklearn  # noqa: PLC0415 - only its venv has it

    mlflow.sklearn.save_model(
        joblib.load(folder / MODEL),
        folder / "saved",
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
    )
    _become(
        *(
            "mlflow.cli",
            "cli",
            "models",
            "serve",
            "--model-uri",
            str(folder / "saved"),
            "--env-manager",
            "local",
        ),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _become(module: str, function: str, *arguments: str) -> None:
    """Run the command line of a package, as its script would: scripts of a moved venv name its old folder."""
    code = f"import sys; from {module} import {function}; sys.argv[0] = {module!r}; {function}()"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(sys.executable, [sys.executable, "-c", code, *arguments])  # noqa: S606


LIT_SERVER = """
import joblib
import litserve
import numpy as np


class Champion(litserve.LitAPI):
    def setup(self, device):
        self.model = joblib.load({model!r})

    def decode_request(self, request):
        return np.array(request["features"], dtype=np.float64).reshape(1, -1)

    def predict(self, row):
        return self.model.predict_proba(row)[0]

    def encode_response(self, probabilities):
        best = int(probabilities.argmax())
        return {{"prediction": best, "probability": float(probabilities[best])}}


if __name__ == "__main__":
    server = litserve.LitServer(Champion(), accelerator="cpu", devices=1, workers_per_device={workers})
    quiet = {{"generate_client_file": False, "log_level": "error"}}
    server.run(host="127.0.0.1", port={port}, num_api_servers={workers}, **quiet)
"""
BENTO_SERVICE = """
import bentoml
import joblib
import numpy as np


@bentoml.service(workers={workers}, logging={{"access": {{"enabled": False}}}})
class Champion:
    def __init__(self) -> None:
        self.model = joblib.load({model!r})

    @bentoml.api
    def predict(self, features: list[float]) -> dict:
        probabilities = self.model.predict_proba(np.array([features]))[0]
        best = int(probabilities.argmax())
        return {{"prediction": best, "probability": float(probabilities[best])}}
"""
SERVERS = {"mlserver": mlserver, "litserve": litserve, "bentoml": bentoml, "mlflow-serve": mlflow}

if __name__ == "__main__":
    main()
