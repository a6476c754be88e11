"""Other models than the example on the real servers: canary, shadow and feedback at once."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from pydantic import TypeAdapter

from common.names import Metric, Model
from flags.canary.share import set_share, turn_on
from flags.unleash.admin import UnleashAdmin
from service.export import export
from service.export.rows import read_table
from service.models.artifact import load_artifact
from service.prediction_log.schema import FeedbackRecord, PredictionRecord, ShadowRecord
from stack.api import Stack
from tests.integration.conftest import FLAG, Service, wait_for
from tests.integration.own_service import OwnService, own_service
from tests.unit.service import own_models

SHADOW = "shadow"
USERS = 120
RECORDS: dict[str, TypeAdapter[Any]] = {
    "prediction": TypeAdapter(PredictionRecord),
    "shadow": TypeAdapter(ShadowRecord),
    "feedback": TypeAdapter(FeedbackRecord),
}


@pytest.fixture(params=[("iris", "iris"), ("churn", "churn_by_number"), ("diabetes", "diabetes_forest")])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Folders of two artifacts: three classes, numbers with strings, a regressor."""
    folders = {}
    for role, name in zip(Model, request.param, strict=True):
        fitted, rows = getattr(own_models, name)()
        names = ["sepal length", "sepal width", "petal length", "petal width"] if name == "iris" else None
        folder = tmp_path / role
        export(fitted, folder, name=name, version="1", rows=rows, features=names)
        folders[str(role)] = str(folder)
    return folders


@pytest.fixture
def own(
    stack: Stack, service: Service, admin: UnleashAdmin, pair: dict[str, str], tmp_path: Path
) -> Iterator[OwnService]:
    """A service of those models, with half of the users in the canary and all others shadowed."""
    set_share(admin, FLAG, 50)
    set_share(admin, SHADOW, 100)
    turn_on(admin, SHADOW)
    with own_service(stack, tmp_path / "own", log_flush_seconds="0.2", **pair) as running:
        wait_for(
            lambda: running.metric(f'{Metric.FLAG_KNOWN}{{flag="{SHADOW}"}}') == 1, 10, "the flags of Unleash"
        )
        yield running
    set_share(admin, SHADOW, 0)


def test_canary_shadow_and_feedback_work_for_any_model(
    own: OwnService, pair: dict[str, str], tmp_path: Path
) -> None:
    metadata = load_artifact(Path(pair[Model.CHAMPION])).metadata
    _, rows = getattr(own_models, metadata.name)()
    values = read_table(rows, metadata.names).values
    answers, told = [], []
    with requests.Session() as client:
        for at in range(USERS):
            body = {"user_id": f"user-{at}", "features": values[at % len(values)]}
            answer = client.post(f"{own.url}/predict", json=body, timeout=5).json()
            answers.append(answer)
            about = {"request_id": answer["request_id"], "outcome": "right", "value": 1.5}
            told += [client.post(f"{own.url}/feedback", json=about, timeout=5).json() for _ in range(2)]
    assigned = Counter(answer["assigned"] for answer in answers)
    assert min(assigned.values()) > USERS / 4
    late = [answer for answer in answers if answer["reason"].startswith("fallback")]
    assert len(late) <= 0.1 * USERS  # on a busy machine
    assert {answer["model_name"] for answer in answers} == {
        load_artifact(Path(folder)).metadata.name for folder in pair.values()
    }
    assert [each["duplicate"] for each in told] == [False, True] * USERS
    assert [each["assigned"] for each in told[::2]] == [answer["assigned"] for answer in answers]
    for role, count in assigned.items():
        assert own.metric(f'{Metric.OUTCOMES}{{model="{role}",outcome="right"}}') == count
    wait_for(lambda: own.metric(Metric.SHADOW_SAMPLES) == assigned["champion"], 10, "all samples")
    time.sleep(0.5)  # more than the flush interval
    lines = [line for file in (tmp_path / "own").rglob("*.jsonl") for line in file.read_bytes().splitlines()]
    records = [orjson.loads(line) for line in lines]
    for line, record in zip(lines, records, strict=True):
        RECORDS[record["kind"]].validate_json(line)
    kinds = Counter(record["kind"] for record in records)
    assert kinds == {"prediction": USERS, "shadow": assigned["champion"], "feedback": USERS}
    agreed = sum(record["agree"] for record in records if record["kind"] == "shadow")
    assert own.metric(Metric.SHADOW_AGREEMENTS) == agreed > 0
