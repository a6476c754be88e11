"""A real MLflow registry, in a venv of its own: aliases, versions, runs, and what cannot be taken."""

import subprocess
from pathlib import Path

import pytest

from common.names import Model
from stack.paths import REPOSITORY, Cache
from stack.venvs import ensure_venv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_models_of_a_registry_are_resolved_once_and_become_model_folders(tmp_path: Path) -> None:
    python = ensure_venv(Cache.default(), "mlflow")
    script = Path(__file__).with_name("mlflow_registry.py")
    done = subprocess.run(
        [python, script, tmp_path, Cache.default().model(Model.CHAMPION)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alias, flavour, run, pickled, escaping, no_alias, no_model = done.stdout.splitlines()
    assert "which is models:/fraud/1" in alias
    assert '"name": "breast-cancer-logistic-regression"' in alias
    assert '"name": "fraud"' in flavour
    assert '"version": "2"' in flavour
    assert '"name": "breast-cancer-logistic-regression"' in run
    assert "has the flavours sklearn, and not onnx" in pickled
    assert "outside of it" in escaping
    assert "nobody not found" in no_alias
    assert "other not found" in no_model
