"""Spans by the real OpenTelemetry SDK, in a venv of its own: what a request makes, logs and passes on."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from common.names import Model
from stack.paths import REPOSITORY, Cache
from stack.venvs import ensure_venv

Told = dict[str, Any]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNSAMPLED = "1af7651916cd43dd8448eb211c80319c"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What traced_service.py tells."""
    cache = Cache.default()
    script = Path(__file__).with_name("traced_service.py")
    arms = [cache.model(Model.CHAMPION), cache.model(Model.CHALLENGER)]
    done = subprocess.run(
        [ensure_venv(cache, "otel"), script, *arms, tmp_path_factory.mktemp("traced")],
        capture_output=True,
        text=True,
        timeout=300,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Told = json.loads(done.stdout.splitlines()[-1])
    return found


def span(told: Told, name: str) -> Told:
    (found,) = (each for each in told["spans"] if each["name"] == name)
    return dict(found)


def test_a_request_is_a_span_with_flag_and_call_in_it(said: Told) -> None:
    told = said["child"]
    assert [each["name"] for each in told["spans"]] == [
        "feature_flag.evaluation",
        "challenger",
        "POST /predict",
    ]
    whole, flag, call = (
        span(told, name) for name in ("POST /predict", "feature_flag.evaluation", "challenger")
    )
    assert {each["trace"] for each in told["spans"]} == {TRACE}
    assert (whole["parent"], whole["kind"], whole["status"]) == (CALLER, "SERVER", "UNSET")
    assert flag["parent"] == call["parent"] == whole["id"]
    assert whole["attributes"] == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "url.path": "/predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
    }
    assert flag["attributes"] == {
        "feature_flag.key": "canary",
        "feature_flag.provider.name": "unleash",
        "feature_flag.result.variant": "challenger",
        "feature_flag.result.reason": "split",
        "feature_flag.context.id": "ada",
    }
    answer = told["answer"]
    assert call["attributes"] == {
        "canario.model.name": answer["model_name"],
        "canario.model.version": answer["model_version"],
    }


def test_the_span_of_the_call_is_the_parent_of_what_a_remote_model_does(said: Told) -> None:
    call = span(said["child"], "challenger")
    assert said["child"]["passed"] == {"traceparent": f"00-{TRACE}-{call['id']}-01", "tracestate": "vendor=1"}


@pytest.mark.parametrize("name", ["root", "malformed"])
def test_a_request_without_a_trace_begins_one(said: Told, name: str) -> None:
    whole = span(said[name], "POST /predict")
    assert whole["parent"] is None
    assert {each["trace"] for each in said[name]["spans"]} == {whole["trace"]}


def test_what_the_caller_does_not_sample_makes_no_spans_and_is_passed_on(said: Told) -> None:
    assert said["unsampled"]["spans"] == []
    assert said["unsampled"]["passed"]["traceparent"].startswith(f"00-{UNSAMPLED}-")
    assert said["unsampled"]["passed"]["traceparent"].endswith("-00")


def test_a_call_that_fails_says_why_and_the_champion_has_a_span_too(said: Told) -> None:
    told = said["failing"]
    call = span(told, "challenger")
    assert (call["status"], call["attributes"]["error.type"]) == ("ERROR", "timeout")
    assert span(told, "champion")["status"] == "UNSET"
    assert told["answer"]["reason"] == "fallback_timeout"


def test_other_routes(said: Told) -> None:
    assert [each["name"] for each in said["by a proxy"]["spans"]] == [
        "feature_flag.evaluation",
        "GET /assign",
    ]
    assert [each["name"] for each in said["not found"]["spans"]] == ["GET"]
    assert said["health"]["spans"] == []


def test_the_log_has_the_trace_of_each_request(said: Told) -> None:
    asked = ("child", "root", "unsampled", "malformed", "failing")
    traces = [UNSAMPLED if name == "unsampled" else said[name]["spans"][0]["trace"] for name in asked]
    assert said["log"]["traces"] == traces


def test_a_collector_is_found_by_the_variables_alone(said: Told) -> None:
    assert said["variables"] == {
        "paths": ["/v1/traces"],
        "names": ["feature_flag.evaluation", "champion", "POST /predict"],
        "services": ["canario"],
    }


def test_nothing_is_made_unless_a_variable_asks(said: Told) -> None:
    makes = {name for name, kind in said["variants"].items() if kind == "OtelSpans"}
    assert makes == {"endpoint", "exporter", "console"}
