"""The challenger's faults: the user gets the champion's answer, the challenger gets the blame."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from common.names import Metric, Model
from service.artifact import load_artifact
from service.drill import Drill
from service.guest import Failure, Guest
from service.model import Answer, InvalidAnswerError, OnnxModel, Row
from service.settings import Settings
from service.telemetry import Telemetry
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.test_predict import sample

Start = Callable[..., FlaskClient]


def test_a_slow_challenger_costs_its_user_the_deadline_and_no_more(start: Start, settings: Settings) -> None:
    assert settings.drill_file is not None
    client = start(flag(rollout(100)), guest_deadline_seconds=0.1)
    settings.drill_file.write_text('{"sleep_seconds": 0.5}', encoding="utf-8")
    begun = time.perf_counter()
    answer = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    assert time.perf_counter() - begun < 0.4
    assert (answer["assigned"], answer["model"], answer["reason"]) == (
        "challenger",
        "champion",
        "fallback_timeout",
    )
    assert sample(client, Metric.ERRORS, model="challenger", reason="timeout") == 1
    assert sample(client, Metric.ERRORS, model="champion", reason="timeout") == 0
    while sample(client, Metric.IN_FLIGHT) > 0:
        time.sleep(0.05)
    # The whole duration is measured although nobody waited for it.
    assert sample(client, f"{Metric.LATENCY}_sum", model="challenger") >= 0.5


def test_switching_the_fault_off_brings_the_challenger_back(start: Start, settings: Settings) -> None:
    assert settings.drill_file is not None
    client = start(flag(rollout(100)), guest_deadline_seconds=0.05)
    settings.drill_file.write_text('{"sleep_seconds": 0.1}', encoding="utf-8")
    assert client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()["model"] == "champion"
    settings.drill_file.unlink()
    time.sleep(0.3)
    assert client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()["model"] == "challenger"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"sleep_seconds": -1}', '{"sleep": 1}', '{"sleep_seconds": 1e9}']
)
def test_a_drill_file_that_says_nothing_clear_is_ignored(
    start: Start, settings: Settings, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings.drill_file is not None
    client = start(flag(rollout(100)))
    settings.drill_file.write_text(text, encoding="utf-8")
    assert client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()["model"] == "challenger"
    assert "the drill file is ignored" in caplog.text


def test_without_the_setting_no_drill_is_possible(start: Start, settings: Settings) -> None:
    assert settings.drill_file is not None
    settings.drill_file.write_text(json.dumps({"sleep_seconds": 1}), encoding="utf-8")
    client = start(flag(rollout(100)), drill_file=None)
    assert client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()["model"] == "challenger"


class Scripted(OnnxModel):
    """A model that behaves as told: what no exported model can be made to do."""

    def __init__(self, artifact_folder: Path, behave: Callable[[], Answer]) -> None:
        super().__init__(load_artifact(artifact_folder))
        self._behave = behave

    def answer(self, row: Row) -> Answer:
        return self._behave() if hasattr(self, "_behave") else super().answer(row)


def guest(models: dict[Model, Path], behave: Callable[[], Answer], concurrency: int = 2) -> Guest:
    model = Scripted(models[Model.CHALLENGER], behave)
    telemetry = Telemetry(CollectorRegistry(), {Model.CHALLENGER: model.metadata}, "canary")
    return Guest(model, Drill(None), telemetry, deadline_seconds=0.2, concurrency=concurrency)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("no"), "exception"), (MemoryError(), "exception"), (InvalidAnswerError("nan"), "invalid")],
)
def test_an_error_is_a_failure(models: dict[Model, Path], error: Exception, reason: str) -> None:
    def fail() -> Answer:
        raise error

    asked = guest(models, fail)
    assert [asked.ask(None) for _ in range(5)] == [Failure(reason)] * 5  # type: ignore[arg-type]
    asked.close()


def test_no_more_calls_than_there_is_room_for(models: dict[Model, Path]) -> None:
    release = threading.Event()

    def wait() -> Answer:
        release.wait(5)
        return Answer(1, "benign", 1.0)

    asked = guest(models, wait)
    assert [asked.ask(None).reason for _ in range(4)] == ["timeout", "timeout", "busy", "busy"]  # type: ignore[arg-type, union-attr]
    release.set()
    time.sleep(0.05)
    assert asked.ask(None) == Answer(1, "benign", 1.0)  # type: ignore[arg-type]
    asked.close()
    assert asked.ask(None) == Failure("busy")  # type: ignore[arg-type]
