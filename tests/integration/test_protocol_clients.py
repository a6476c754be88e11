"""Real clients of the protocols of the service: Triton's, `requests` as MLflow's, and a generated one."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from flags.canary.share import set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import Cache
from stack.venvs import ensure_venv
from tests.integration.conftest import FLAG, ROW, Service, wait_for

CLIENTS = Path(__file__).parent / "clients"
USERS = [f"user-{number}" for number in range(12)]
ROWS = [[value * (1 + number / 20) for value in ROW] for number in range(12)]


@pytest.fixture(scope="module")
def clients() -> Path:
    """The Python of the clients."""
    return ensure_venv(Cache.default(), "clients")


@pytest.fixture
def half(service: Service, admin: UnleashAdmin) -> list[dict[str, Any]]:
    """Half of the users have the challenger; what /predict says to each of them."""
    set_share(admin, FLAG, 50)

    def settled() -> bool:
        by_user = [{each["assigned"] for each in service.by_worker(user).values()} for user in USERS]
        return all(len(each) == 1 for each in by_user) and len(set().union(*by_user)) == 2

    wait_for(settled, 20, "half of the users with the challenger, from every worker")
    answers = []
    for user, row in zip(USERS, ROWS, strict=True):
        body = {"user_id": user, "features": row}
        answers.append(requests.post(f"{service.url}/predict", json=body, timeout=5).json())
    return answers


def run(python: Path, script: str, *arguments: str, told: Any, folder: Path | None = None) -> Any:
    """What a script says to `told`; both are JSON."""
    command = [str(python), str(CLIENTS / script), *arguments]
    environment = {"PYTHONPATH": str(folder)} if folder else {}
    done = subprocess.run(
        command,
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_tritons_client_gets_what_predict_says(
    service: Service, half: list[dict[str, Any]], clients: Path
) -> None:
    told = run(clients, "triton.py", service.url, told={"rows": ROWS, "users": USERS})
    assert [told[name] for name in ("live", "ready", "model_ready", "other_ready")] == [True] * 3 + [False]
    assert told["model"]["inputs"][0]["shape"] == [-1, 30]
    assert told["server"]["name"] == "canario"
    for answers in told["answers"]:
        assert answers["prediction"] == [each["prediction"] for each in half]
        assert answers["model"] == [each["assigned"] for each in half]
        assert answers["probability"] == pytest.approx([each["probability"] for each in half], rel=1e-5)
    assert told["one"]["id"] == "mine"
    assert len(told["one"]["probability"]) == len(ROWS)
    status, message = told["refused"]
    assert status == "422"
    assert "parameters.user_id" in message


def test_requests_gets_from_invocations_what_predict_says(
    service: Service, half: list[dict[str, Any]]
) -> None:
    assert requests.get(f"{service.url}/ping", timeout=5).ok
    for user, row, alone in zip(USERS, ROWS, half, strict=True):
        told = requests.post(
            f"{service.url}/invocations", json={"inputs": [row]}, headers={"Canario-User": user}, timeout=5
        ).json()
        assert told["predictions"] == [alone["prediction"]]
        assert told["model"] == alone["assigned"]


@pytest.mark.slow
def test_a_generated_client_works_for_every_route(
    service: Service, stack: Stack, clients: Path, tmp_path: Path
) -> None:
    document = requests.get(f"{service.url}/docs/openapi.json", timeout=10)
    (tmp_path / "openapi.json").write_bytes(document.content)
    made = subprocess.run(
        [
            *(clients, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", tmp_path / "openapi.json", "--output-path", tmp_path / "made"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": str(clients.parent)},
        check=False,
    )
    assert made.returncode == 0, made.stdout
    assert "removal of" not in made.stdout
    tensor = {"name": "features", "shape": [1, 30], "datatype": "FP64", "data": ROW}
    change = {"body": {"percent": 0}}
    calls = {
        "post_predict": [
            {"body": {"user_id": "u", "features": ROW}},
            {"body": {"user_id": "u", "rows": [ROW, ROW]}},
            {"body": {"user_id": "u"}},
        ],
        "post_invocations": [{"body": {"inputs": [ROW], "params": {"user_id": "u"}}}],
        "post_feedback": [{"body": {"user_id": "u", "outcome": "bought"}}],
        "post_v2_models_name_infer": [
            {"name": "canario", "body": {"inputs": [tensor], "parameters": {"user_id": "u"}}},
            {"name": "other", "body": {"inputs": [tensor]}},
        ],
        "get_v2_models_name": [{"name": "canario"}],
        "get_v2_models_name_ready": [{"name": "canario"}],
        **{f"{method}_admin_{flag}": [change] for method in ("put", "post") for flag in (FLAG, "shadow")},
    }
    asked = {"token": stack.secret("service-admin.token"), "calls": calls}
    told = run(clients, "generated.py", service.url, told=asked, folder=tmp_path)
    assert len(told) == sum(len(methods) for methods in document.json()["paths"].values())
    assert told["post_predict"] == [[200, "Prediction"], [200, "Predictions"], [422, "Problem"]]
    assert told["post_v2_models_name_infer"] == [[200, "InferResponse"], [404, "InferProblem"]]
    others = [answer for name, answers in told.items() for answer in answers if "predict" not in name]
    assert {kind for status, kind in others if status < 300} >= {"Canary", "RolloutNow", "ServingModels"}
    assert [status for status, _ in others if status >= 300] == [404]
