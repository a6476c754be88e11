"""A champion that runs elsewhere, and another Canario as an endpoint."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from common.names import Metric, Model
from service.challenger.client import FAILURES
from service.remote.__main__ import main
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.remote.endpoint import FakeEndpoint
from tests.unit.service.series import sample
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
OTHER = [0.1 * at for at in range(30)]


def test_it_answers_or_is_told_to_be_away(start: Start, folder: Path, endpoint: FakeEndpoint) -> None:
    client = start(champion=folder)
    body = {"user_id": "u", "features": ROW}
    assert client.post("/predict", json=body).get_json()["model_name"] == "fraud"
    endpoint.mode = "garbage"
    for _ in range(FAILURES):
        response = client.post("/predict", json=body)
        assert response.status_code == 503
        assert response.content_type == "application/problem+json"
        assert "champion" in response.get_json()["detail"]
        assert endpoint.url not in response.text
    assert sample(client, Metric.ERRORS, model="champion", reason="invalid") == FAILURES
    asked = len(endpoint.asked)
    assert client.post("/predict", json=body).status_code == 503
    assert len(endpoint.asked) == asked
    assert sample(client, Metric.ERRORS, model="champion", reason="open") == 1
    endpoint.mode = "well"
    until(lambda: client.post("/predict", json=body).status_code == 200, 5)


def test_both_may_run_elsewhere(start: Start, folder: Path, endpoint: FakeEndpoint) -> None:
    client = start(flag(rollout(100)), champion=folder, challenger=folder)
    told = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    assert told["model"] == "challenger"


@pytest.fixture
def other(start: Start, models: dict[Model, Path], tmp_path: Path) -> Iterator[str]:
    """Another Canario, whose one model is our challenger."""
    client = start(champion=models[Model.CHALLENGER], state_dir=tmp_path / "other")
    web = make_server("127.0.0.1", 0, client.application, threaded=True)
    thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{web.port}"
    web.shutdown()
    thread.join()
    web.server_close()


def test_another_canario_is_as_good_as_a_process(
    start: Start, other: str, models: dict[Model, Path], tmp_path: Path
) -> None:
    out = tmp_path / "elsewhere"
    options = ["--url", other, "--model", "canario", "--like", str(models[Model.CHAMPION])]
    options += ["--name", "forest", "--version", "1", "--parameter", "user_id=canario", "--out", str(out)]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    assert "pinned  breast-cancer-random-forest:1" in done.output
    body = {"user_id": "u", "rows": [ROW, OTHER]}
    here = start(flag(rollout(100)), guest_deadline_seconds=5).post("/predict", json=body).get_json()
    there = start(flag(rollout(100)), challenger=out, guest_deadline_seconds=5).post("/predict", json=body)
    assert there.get_json()["model"] == "challenger"
    for field in ("prediction", "class_name", "probability"):
        assert [each[field] for each in there.get_json()["predictions"]] == pytest.approx(
            [each[field] for each in here["predictions"]]
        )
