"""W3C Trace Context: taken over, logged, and passed on to a model that runs elsewhere."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient

from service.prediction_log.schema import PredictionRecord
from service.settings import Settings
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.remote.endpoint import FakeEndpoint
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("parent", "known"),
    [
        (PARENT, True),
        (f"01-{TRACE}-b7ad6b7169203331-01-more", True),
        (None, False),
        (PARENT.upper(), False),
        (f"ff{PARENT[2:]}", False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        ("x" * 10_000, False),
    ],
)
def test_a_trace_is_logged_and_passed_on(
    start: Start, folder: Path, endpoint: FakeEndpoint, settings: Settings, parent: str | None, known: bool
) -> None:
    client = start(flag(rollout(100)), challenger=folder, guest_deadline_seconds=5, log_flush_seconds=0.01)
    headers = {"traceparent": parent, "tracestate": "vendor=1"} if parent else {}
    told = client.post("/predict", json={"user_id": "u", "features": ROW}, headers=headers).get_json()
    assert told["model"] == "challenger"
    assert endpoint.headers[-1].get("traceparent") == (parent if known else None)
    assert endpoint.headers[-1].get("tracestate") == ("vendor=1" if known else None)
    log = settings.state_dir / "log"
    until(lambda: any(file.stat().st_size for file in log.glob("*.jsonl")))
    (line,) = next(log.glob("*.jsonl")).read_bytes().splitlines()
    PredictionRecord.model_validate_json(line)
    assert orjson.loads(line).get("trace_id") == (TRACE if known else None)
