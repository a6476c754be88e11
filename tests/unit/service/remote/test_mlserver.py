"""A real MLServer, in a venv of its own, as champion, as challenger, and as both; and its end."""

# mypy: disable-error-code="no-untyped-call"

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from click.testing import CliRunner
from flask.testing import FlaskClient
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression

from common.names import Metric, Model
from service.export import export
from service.remote.__main__ import main
from stack.paths import Cache
from stack.venvs import ensure_venv
from tests.unit.service.conftest import flag, rollout
from tests.unit.service.series import sample
from tests.unit.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Start = Callable[..., FlaskClient]
ROWS = [[float(value) for value in row] for row in load_breast_cancer().data[:50]]
START = "from mlserver.cli.main import main; main()"


class MLServer(NamedTuple):
    """One that runs, and what its model says by scikit-learn itself."""

    url: str
    process: "subprocess.Popen[bytes]"
    expected: list[list[float]]


@pytest.fixture(scope="module")
def python() -> Path:
    """That of MLServer's venv."""
    return ensure_venv(Cache.default(), "mlserver")


@pytest.fixture
def mlserver(python: Path, tmp_path: Path) -> Iterator[MLServer]:
    folder = tmp_path / "mlserver"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    script = Path(__file__).with_name("mlserver_model.py")
    trained = subprocess.run(
        [python, script, folder, str(port)], capture_output=True, text=True, check=True, timeout=120
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-c", START, "start", folder], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_ready(url, process), 120, every=0.2)
        yield MLServer(url, process, json.loads(trained.stdout))
    finally:
        process.kill()
        process.wait(20)


def is_ready(url: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    try:
        return requests.get(f"{url}/v2/models/fraud/ready", timeout=2).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def folder(mlserver: MLServer, models: dict[Model, Path], tmp_path: Path) -> Path:
    out = tmp_path / "remote"
    options = ["--url", mlserver.url, "--model", "fraud", "--like", str(models[Model.CHAMPION])]
    done = CliRunner().invoke(main, [*options, "--name", "fraud", "--version", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "outputs predict, predict_proba" in done.output
    assert "pinned  v1" in done.output
    return out


@pytest.mark.parametrize("role", ["challenger", "champion", "both"])
def test_it_answers_as_scikit_learn_does_and_may_end(
    start: Start, folder: Path, mlserver: MLServer, role: str
) -> None:
    roles = ["champion", "challenger"] if role == "both" else [role]
    flags = [] if role == "champion" else [flag(rollout(100))]
    client = start(*flags, **dict.fromkeys(roles, folder), guest_deadline_seconds=5)
    body = {"user_id": "u", "rows": ROWS}
    told = client.post("/predict", json=body).get_json()
    assert told["model_name"] == "fraud"
    for each, expected in zip(told["predictions"], mlserver.expected, strict=True):
        assert each["prediction"] == expected.index(max(expected))
        assert each["probability"] == pytest.approx(max(expected), abs=1e-4)
    who = "champion" if role == "champion" else "challenger"
    assert sample(client, Metric.CALLS, model=who) == 1
    mlserver.process.kill()
    mlserver.process.wait(20)
    after = client.post("/predict", json=body)
    if role == "challenger":
        assert after.get_json()["model_name"] == "breast-cancer-logistic-regression"
        assert after.get_json()["reason"] in ("fallback_down", "fallback_crash")
    else:
        assert after.status_code == 503


def test_values_of_several_outputs_are_columns_of_its_answer(
    start: Start, mlserver: MLServer, tmp_path: Path
) -> None:
    data = load_breast_cancer(as_frame=True).data
    own = LinearRegression().fit(data, data.iloc[:, :2])
    like = export(
        own, tmp_path / "like", name="like", version="1", rows=data[:50], outputs=["radius", "texture"]
    )
    out = str(tmp_path / "sizes")
    options = ["--url", mlserver.url, "--model", "sizes", "--like", str(like.folder), "--out", out]
    done = CliRunner().invoke(main, [*options, "--name", "sizes", "--version", "1"])
    assert done.exit_code == 0, done.output
    client = start(champion=tmp_path / "sizes")
    told = client.post("/predict", json={"user_id": "u", "rows": ROWS}).get_json()
    for row, answer in zip(ROWS, told["predictions"], strict=True):
        said = [answer["outputs"][name]["prediction"] for name in ("radius", "texture")]
        assert said == pytest.approx([2 * row[0], row[1] + 5], rel=1e-3)
