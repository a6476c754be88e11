"""A real MLflow registry, in a venv of its own: aliases, runs, flavours, and what cannot be taken."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from common.names import Model
from stack.paths import REPOSITORY, Cache
from stack.venvs import ensure_venv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EXAMPLE = "breast-cancer-logistic-regression"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, dict[str, Any]]:
    """What came of each source of mlflow_registry.py."""
    cache = Cache.default()
    python, boosting = ensure_venv(cache, "mlflow"), ensure_venv(cache, "boosting")
    here = Path(__file__)
    (folder / "logged").mkdir()
    for command in (
        [boosting, here.with_name("mlflow_models.py"), folder / "logged"],
        [python, here.with_name("mlflow_registry.py"), folder, cache.model(Model.CHAMPION), boosting],
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=600,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
            cwd=folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_alias_is_resolved_once_and_noted(said: dict[str, dict[str, Any]]) -> None:
    assert said["alias"]["name"] == EXAMPLE
    assert said["alias"]["origin"] == "from mlflow:models:/fraud@challenger, which is models:/fraud/1"
    assert said["alias"]["training"]["mlflow"] == "models:/fraud/1"
    assert said["alias"]["training"]["data"]  # what was there stays
    assert said["run"]["name"] == EXAMPLE
    assert said["run"]["training"]["mlflow"].startswith("runs:/")


def test_the_flavour_onnx_takes_features_of_another_folder(said: dict[str, dict[str, Any]]) -> None:
    assert (said["flavour"]["name"], said["flavour"]["version"]) == ("fraud", "2")


@pytest.mark.parametrize("name", ["skops", "trees", "boosted", "pickle"])
def test_other_flavours_are_exported_through_the_gate(said: dict[str, dict[str, Any]], name: str) -> None:
    assert said[name].get("name") == "fraud", said[name]
    assert said[name]["parity"]["rows"] >= 200
    assert said[name]["training"]["mlflow"].endswith(f"/{said[name]['version']}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("escaping", "outside of it"),
        ("other", "has the flavours pytorch, and none of onnx, sklearn, xgboost, lightgbm"),
        ("no alias", "nobody not found"),
        ("no model", "nothing not found"),
        ("no rows", "say --rows FILE"),
        ("not allowed", "it is a pickle, and loading it runs whatever code is in it"),
        ("evil not allowed", "it is a pickle, and loading it runs whatever code is in it"),
        ("no such python", "/no/python"),
        ("without what it needs", "No module named"),
        ("strange", "its class os.system is none that is exported"),
        ("trees not allowed", "which skops does not trust"),
    ],
)
def test_what_cannot_be_taken_is_told_in_a_sentence(
    said: dict[str, dict[str, Any]], name: str, told: str
) -> None:
    assert told in said[name].get("error", said[name])


def test_no_code_of_a_model_has_run_that_was_not_allowed(
    said: dict[str, dict[str, Any]], folder: Path
) -> None:
    assert "error" in said["evil not allowed"]
    assert not list(folder.rglob("evil-was-here"))
    assert not (REPOSITORY / "evil-was-here").exists()


def test_a_promotion_moves_the_alias_or_says_why_not(said: dict[str, dict[str, Any]]) -> None:
    moved = said["moved"]
    assert moved["champion"] == moved["wanted"]
    assert moved["said"] == f"MLflow's alias champion means {moved['wanted']} now"
    assert "the champion is from a run" in said["from a run"]["said"]
    assert said["no registry"]["said"].endswith("; the promotion stands")
    assert "could not be moved" in said["no registry"]["said"]
