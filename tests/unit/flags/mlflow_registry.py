"""Fills an MLflow registry and fetches from it, in its own venv: `mlflow_registry.py FOLDER ARTIFACT`."""

import os
import shutil
import sys
from pathlib import Path

folder, artifact = Path(sys.argv[1]), Path(sys.argv[2])
os.environ["MLFLOW_TRACKING_URI"] = (folder / "mlruns").as_uri()
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow  # type: ignore[import-not-found] # noqa: E402 - it looks at its environment
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found] # noqa: E402

from flags.registry import RegistryError, fetched  # noqa: E402


def main() -> None:
    """Print what comes of each source, a line each."""
    client = MlflowClient()
    onnx = folder / "flavour"
    onnx.mkdir()
    shutil.copy(artifact / "model.onnx", onnx / "model.onnx")
    (onnx / "MLmodel").write_text("flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.0\n")
    pickled = folder / "pickled"
    pickled.mkdir()
    (pickled / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
    escaping = folder / "escaping"
    escaping.mkdir()
    (escaping / "MLmodel").write_text("flavors:\n  onnx:\n    data: ../../../etc/passwd\n")
    client.create_registered_model("fraud")
    with mlflow.start_run() as run:
        for path in (artifact, onnx, pickled, escaping):
            mlflow.log_artifacts(str(path), path.name)
            source = f"{run.info.artifact_uri}/{path.name}"
            client.create_model_version("fraud", source, run_id=run.info.run_id)
    client.set_registered_model_alias("fraud", "challenger", "1")
    names = (
        "models:/fraud@challenger",
        "models:/fraud/2",
        f"runs:/{run.info.run_id}/{artifact.name}",
        "models:/fraud/3",
        "models:/fraud/4",
        "models:/fraud@nobody",
        "models:/other/1",
    )
    for name in names:
        try:
            with fetched(f"mlflow:{name}", like=artifact) as found:
                told = (found.folder / "model.json").read_text(encoding="utf-8").replace("\n", "")
                print(f"{name} | {found.origin} | {told}")
        except RegistryError as error:
            print(f"{name} | {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
