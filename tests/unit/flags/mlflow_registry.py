"""Fills an MLflow registry and fetches from it, in its own venv: `mlflow_registry.py FOLDER ARTIFACT PYTHON`.

FOLDER has what mlflow_models.py writes in FOLDER/logged. Prints a JSON document: what came of each.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

folder, artifact, python = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
os.environ["MLFLOW_TRACKING_URI"] = (folder / "mlruns").as_uri()
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow  # type: ignore[import-not-found] # noqa: E402 - it looks at its environment
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found] # noqa: E402

from flags.mlflow_registry import Export, RegistryError, move_alias  # noqa: E402
from flags.registry import fetched  # noqa: E402

LOGGED = folder / "logged"
ALLOWED = Export(LOGGED / "rows.csv", unpickle=True, python=python)


def lay_down() -> list[Path]:
    """Folders to log: a model folder, the flavour onnx, and two that cannot be taken."""
    found = [artifact]
    for name, text in (
        ("flavour", "flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.0\n"),
        ("escaping", "flavors:\n  onnx:\n    data: ../../../etc/passwd\n"),
        ("other", "flavors:\n  pytorch:\n    model_data: data\n"),
    ):
        (folder / name).mkdir()
        (folder / name / "MLmodel").write_text(text, encoding="utf-8")
        found.append(folder / name)
    shutil.copy(artifact / "model.onnx", folder / "flavour" / "model.onnx")
    return found + sorted(each for each in LOGGED.iterdir() if each.is_dir())


def ask(uri: str, export: Export = Export()) -> dict[str, Any]:  # noqa: B008 - it is a tuple
    """What came of one source."""
    try:
        with fetched(f"mlflow:{uri}", like=artifact, export=export) as found:
            told: dict[str, Any] = json.loads((found.folder / "model.json").read_bytes())
            shutil.copytree(found.folder, folder / "fetched", dirs_exist_ok=True)
            return {
                "origin": found.origin,
                **{key: told[key] for key in ("name", "version", "training", "parity")},
            }
    except RegistryError as error:
        return {"error": " ".join(str(error).split())}


def main() -> None:
    """Print what comes of each source."""
    client = MlflowClient()
    client.create_registered_model("fraud")
    versions = {}
    with mlflow.start_run() as run:
        for at, path in enumerate(lay_down(), 1):
            mlflow.log_artifacts(str(path), path.name)
            source = f"{run.info.artifact_uri}/{path.name}"
            client.create_model_version("fraud", source, run_id=run.info.run_id)
            versions[path.name] = f"models:/fraud/{at}"
    client.set_registered_model_alias("fraud", "challenger", "1")
    said = {
        "alias": ask("models:/fraud@challenger"),
        "run": ask(f"runs:/{run.info.run_id}/{artifact.name}"),
        "from a run": {"said": move_alias("champion", folder / "fetched")},
        "flavour": ask(versions["flavour"]),
        "escaping": ask(versions["escaping"]),
        "other": ask(versions["other"]),
        "no alias": ask("models:/fraud@nobody"),
        "no model": ask("models:/nothing/1"),
        "no rows": ask(versions["pickle"]),
        "not allowed": ask(versions["pickle"], ALLOWED._replace(unpickle=False)),
        "evil not allowed": ask(versions["evil"], ALLOWED._replace(unpickle=False)),
        "no such python": ask(versions["pickle"], ALLOWED._replace(python="/no/python")),
        "without what it needs": ask(versions["boosted"], ALLOWED._replace(python=sys.executable)),
        "strange": ask(versions["strange"], ALLOWED),
        "skops": ask(versions["skops"], ALLOWED._replace(unpickle=False)),
        "trees not allowed": ask(versions["trees"], ALLOWED._replace(unpickle=False)),
        "trees": ask(versions["trees"], ALLOWED),
        "boosted": ask(versions["boosted"], ALLOWED._replace(unpickle=False)),
        "pickle": ask(versions["pickle"], ALLOWED),
    }
    moved = move_alias("champion", folder / "fetched")
    now = f"models:/fraud/{client.get_model_version_by_alias('fraud', 'champion').version}"
    said |= {"moved": {"said": moved, "champion": now, "wanted": versions["pickle"]}}
    os.environ["MLFLOW_TRACKING_URI"] = (folder / "elsewhere").as_uri()
    said |= {"no registry": {"said": move_alias("champion", folder / "fetched")}}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
