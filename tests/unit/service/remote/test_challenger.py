"""A challenger that runs elsewhere: whatever it does, users get an answer, and the log a sentence."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from common.names import Metric
from service.challenger.client import FAILURES
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.remote.endpoint import FakeEndpoint
from tests.unit.service.series import sample
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
DEADLINE = 0.3


@pytest.fixture
def client(start: Start, folder: Path) -> FlaskClient:
    """A service whose challenger, for everybody, is at the endpoint."""
    return start(flag(rollout(100)), challenger=folder, guest_deadline_seconds=DEADLINE)


def ask(client: FlaskClient) -> tuple[str, str, float]:
    """Who answered, why, and after how many seconds."""
    begun = time.monotonic()
    told = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    return told["model"], told["reason"], time.monotonic() - begun


def test_it_answers_and_its_connection_is_kept(client: FlaskClient, endpoint: FakeEndpoint) -> None:
    before = endpoint.connections
    for _ in range(5):
        told = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
        assert (told["model"], told["reason"]) == ("challenger", "flag_on")
        assert (told["model_name"], told["model_version"]) == ("fraud", "3")
        assert (told["class_name"], told["probability"]) == ("benign", pytest.approx(0.7))
    assert endpoint.connections - before <= 1
    assert endpoint.asked[-1]["inputs"][0]["data"] == ROW
    assert sample(client, Metric.CALLS, model="challenger") == 5
    assert sample(client, f"{Metric.LATENCY}_count", model="challenger") == 5
    ready = client.get("/readyz").get_json()
    assert (ready["challenger"], ready["models"]["challenger"]["name"]) == ("runs", "fraud")


def test_several_rows_are_one_request(client: FlaskClient, endpoint: FakeEndpoint) -> None:
    before = len(endpoint.asked)
    told = client.post("/predict", json={"user_id": "u", "rows": [ROW] * 7}).get_json()
    assert told["model"] == "challenger"
    assert len(told["predictions"]) == 7
    assert len(endpoint.asked) == before + 1


@pytest.mark.parametrize(
    ("mode", "reason", "sentence"),
    [
        ("slow", "timeout", "does not answer within 0.3 s"),
        ("half", "timeout", "does not answer within 0.3 s"),
        ("drip", "timeout", "does not answer within 0.3 s"),
        ("headers", "timeout", "does not answer within 0.3 s"),
        ("error", "exception", "HTTP 500"),
        ("garbage", "invalid", "no HTTP"),
        ("no json", "invalid", "none of the protocol"),
        ("deep", "invalid", "none of the protocol"),
        ("other json", "invalid", "none of the protocol"),
        ("shape", "invalid", "3 numbers for 1 rows of 2"),
        ("label", "invalid", "a class that it does not have"),
        ("probability", "invalid", "the probability 7.0"),
        ("output", "invalid", "there is no output predict_proba"),
        ("version", "invalid", "version 4 answers, and remote.json says 3"),
        ("huge", "invalid", "more than"),
        ("cut", "crash", "in the middle of its answer"),
        ("hang up", "crash", "ended the connection"),
    ],
)
def test_the_champion_answers_in_time_whatever_goes_wrong(
    client: FlaskClient,
    endpoint: FakeEndpoint,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    reason: str,
    sentence: str,
) -> None:
    endpoint.mode = mode
    with caplog.at_level(logging.WARNING):
        model, why, seconds = ask(client)
    assert (model, why) == ("champion", f"fallback_{reason}")
    assert seconds < DEADLINE + 0.5
    assert sentence in caplog.text
    assert sample(client, Metric.ERRORS, model="challenger", reason=reason) == 1
    assert sample(client, Metric.USER_WINDOWS_BAD, model="challenger") == 1
    endpoint.mode = "well"
    assert ask(client)[:2] == ("challenger", "flag_on")


def test_the_breaker_opens_and_a_call_on_trial_closes_it(client: FlaskClient, endpoint: FakeEndpoint) -> None:
    endpoint.mode = "error"
    reasons = [ask(client)[1] for _ in range(FAILURES + 1)]
    assert reasons == ["fallback_exception"] * FAILURES + ["fallback_open"]
    asked = len(endpoint.asked)
    endpoint.mode = "well"
    until(lambda: ask(client)[0] == "challenger", 5)
    assert len(endpoint.asked) == asked + 1


def test_a_call_that_never_came_back_is_counted_as_slow(client: FlaskClient, endpoint: FakeEndpoint) -> None:
    endpoint.mode = "slow"
    ask(client)
    assert sample(client, f"{Metric.LATENCY}_sum", model="challenger") >= DEADLINE


def test_what_is_not_ready_is_not_asked_and_told(client: FlaskClient, endpoint: FakeEndpoint) -> None:
    endpoint.is_ready = False
    until(lambda: client.get("/readyz").get_json()["challenger"] == "down", 10)
    asked = len(endpoint.asked)
    assert ask(client)[:2] == ("champion", "fallback_down")
    assert len(endpoint.asked) == asked
    endpoint.is_ready = True
    until(lambda: ask(client)[0] == "challenger", 20)


def test_another_version_is_not_asked(client: FlaskClient, endpoint: FakeEndpoint) -> None:
    endpoint.versions = ["4"]
    until(lambda: client.get("/readyz").get_json()["challenger"] == "down", 10)
    assert ask(client)[0] == "champion"


def test_without_an_endpoint_the_service_starts_and_the_champion_answers(
    start: Start, folder: Path, endpoint: FakeEndpoint
) -> None:
    told = (folder / "remote.json").read_text().replace(endpoint.url, "http://127.0.0.1:9")
    (folder / "remote.json").write_text(told)
    rehash(folder)
    client = start(flag(rollout(100)), challenger=folder)
    assert ask(client)[:2] == ("champion", "fallback_down")


def test_the_pairs_of_shadow_are_compared(start: Start, folder: Path, endpoint: FakeEndpoint) -> None:
    client = start(flag(rollout(0)), flag(rollout(100), name="shadow"), challenger=folder, shadow_linger_ms=1)
    before = len(endpoint.asked)
    client.post("/predict", json={"user_id": "u", "rows": [ROW] * 5})
    until(lambda: sample(client, Metric.SHADOW_SAMPLES) == 5, 5)
    assert len(endpoint.asked) > before


def rehash(folder: Path) -> None:
    """Let model.json name the sha256 of what is there."""
    told = json.loads((folder / "model.json").read_bytes())
    told["sha256"] = hashlib.sha256((folder / "remote.json").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(told))
