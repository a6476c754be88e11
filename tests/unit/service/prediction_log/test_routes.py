"""What requests leave in the prediction log, and what they leave in no log."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from common.config import StrictModel
from common.names import Metric
from service.app import close
from service.prediction_log.log import user_key
from service.prediction_log.schema import FeedbackRecord, PredictionRecord, Record, ShadowAnswer, ShadowRecord
from service.prediction_log.secret import secret
from service.settings import Settings
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample

Start = Callable[..., FlaskClient]

KINDS: dict[str, type[Record]] = {
    "prediction": PredictionRecord,
    "shadow": ShadowRecord,
    "feedback": FeedbackRecord,
}
DOCUMENT = Path(__file__).parents[4] / "docs" / "prediction-log.md"


def records(client: FlaskClient) -> list[dict[str, Any]]:
    """All records of a service, which ends; each fits the documented schema."""
    close(client.application)
    settings: Settings = client.application.extensions["canario"].settings
    found = []
    for path in sorted((settings.log_dir or settings.state_dir / "log").glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            found.append(orjson.loads(line))
            KINDS[found[-1]["kind"]].model_validate_json(line)
    return found


def ask(client: FlaskClient, user: str = "ada") -> dict[str, Any]:
    body = {"user_id": user, "features": ROW, "context": {"country": "NO", "beta": True}}
    answer: dict[str, Any] = client.post("/predict", json=body).get_json()
    return answer


def test_a_prediction_is_logged_as_it_was_answered(start: Start, settings: Settings) -> None:
    client = start(flag(rollout(100)))
    answer = ask(client)
    (record,) = records(client)
    assert {key: record[key] for key in answer} == answer
    assert record["user"] == user_key("ada", secret(settings))
    assert record["context"] == {"country": "NO", "beta": "true"}
    assert 0 < record["seconds"] < 1
    assert "features" not in record


def test_a_fallback_is_logged_with_both_models(start: Start) -> None:
    client = start(flag(rollout(100)), challenger=None)
    ask(client)
    (record,) = records(client)
    assert (record["assigned"], record["model"], record["reason"]) == (
        "challenger",
        "champion",
        "fallback_no_challenger",
    )


@pytest.mark.parametrize(("mode", "user"), [("plain", "ada"), ("off", None)])
def test_users_as_the_setting_says(start: Start, mode: str, user: str | None) -> None:
    client = start(log_users=mode)
    ask(client)
    client.post("/feedback", json={"user_id": "ada", "outcome": "bought"})
    assert [record["user"] for record in records(client)] == [user, user]


def test_features_only_when_asked_for(start: Start) -> None:
    client = start(log_features=True)
    ask(client)
    assert records(client)[0]["features"] == ROW


def test_a_request_that_is_refused_is_not_logged(start: Start) -> None:
    client = start()
    client.post("/predict", json={"user_id": "ada"})
    assert records(client) == []


def test_feedback_is_logged_once(start: Start) -> None:
    client = start(flag(rollout(0)))
    request_id = ask(client)["request_id"]
    for _ in range(2):
        client.post("/feedback", json={"request_id": request_id, "outcome": "bought", "value": 2})
    client.post("/feedback", json={"request_id": "lost", "outcome": "bought"})
    client.post("/feedback", json={"user_id": "ada", "outcome": "bought"})
    prediction, *feedback = records(client)
    keys = ("request_id", "user", "outcome", "value", "known", "assigned")
    assert [tuple(record[key] for key in keys) for record in feedback] == [
        (request_id, None, "bought", 2.0, True, "champion"),
        ("lost", None, "bought", None, False, None),
        (None, prediction["user"], "bought", None, True, "champion"),
    ]


def test_written_records_are_counted(start: Start) -> None:
    client = start()
    assert sample(client, Metric.LOG_RECORDS, kind="prediction") == 0
    assert sample(client, Metric.LOG_DROPS, reason="full") == 0
    for _ in range(3):
        ask(client)
    close(client.application)
    assert sample(client, Metric.LOG_RECORDS, kind="prediction") == 3


def test_a_log_that_cannot_be_written_fails_no_request(start: Start) -> None:
    client = start(log_dir="/proc/nowhere", log_queue_records=2, log_flush_seconds=0.05)
    for _ in range(5):
        assert ask(client)["model"] == "champion"
    close(client.application)
    assert sum(sample(client, Metric.LOG_DROPS, reason=reason) for reason in ("full", "disk")) == 5


def test_a_log_that_is_off_leaves_no_file(start: Start, settings: Settings) -> None:
    client = start(log_predictions=False)
    ask(client)
    assert records(client) == []
    assert not (settings.state_dir / "log").exists()


def test_no_other_log_tells_of_users(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # that of production, see common.logs
    client = start(flag(rollout(100)))
    body = {"user_id": "secret-ada", "features": ROW, "context": {"street": "secret-lane"}}
    client.post("/predict", json=body)
    client.post("/predict", json=body | {"context": {"street": {"secret-lane": 1}}})
    client.post("/predict", json=body | {"features": ["secret-value"]})
    client.post("/feedback", json={"user_id": "secret-ada", "outcome": "bought"})
    client.post("/feedback", json={"user_id": "secret-ada", "outcome": "secret outcome"})
    parts = client.application.extensions["canario"]
    monkeypatch.setattr(parts.memory, "remember", lambda *_: 1 / 0)
    assert client.post("/predict", json=body).status_code == 500
    assert "unexpected error" in caplog.text
    assert "secret" not in caplog.text


def test_every_field_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    models: list[type[StrictModel]] = [*KINDS.values(), ShadowAnswer]
    for model in models:
        for name, field in model.model_fields.items():
            row = f"| `{field.alias or name}` | {field.description} |"
            assert row in text, row


def test_a_shadowed_request_has_both_answers_under_its_id(start: Start) -> None:
    client = start(flag(rollout(0)), flag(rollout(100), name="shadow"))
    answer = ask(client)
    found = {record["kind"]: record for record in records(client)}
    prediction, pair = found["prediction"], found["shadow"]
    assert pair["request_id"] == prediction["request_id"] == answer["request_id"]
    assert pair["user"] == prediction["user"]
    assert pair["context"] == prediction["context"]
    assert pair["champion"]["class_name"] == answer["class_name"]
    assert pair["challenger"]["name"] == "breast-cancer-random-forest"
    assert pair["agree"] is (pair["challenger"]["class_name"] == answer["class_name"])
    assert pair["error"] is None
