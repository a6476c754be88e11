"""Calls by segment: only those that are named, with all others as one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from common.names import Model
from service.metrics.segments import Segments
from service.segments import judged_segments, listed_segments
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample, series

Start = Callable[..., FlaskClient]


def test_segments_that_nobody_names_have_no_series(start: Start) -> None:
    client = start()
    client.post("/predict", json={"user_id": "u", "features": ROW, "context": {"country": "NO"}})
    assert "segment_calls_total{" not in client.get("/metrics").text


def test_calls_are_counted_by_the_value_of_a_property(start: Start) -> None:
    client = start(flag(rollout(0)), segments="country=NO, country=SE")
    for country in ("NO", "NO", "SE", "DK", None):
        context = {"country": country} if country else {}
        answer = client.post("/predict", json={"user_id": "u", "features": ROW, "context": context})
        assert answer.get_json()["model"] == "champion"
    calls = {
        value: sample(client, "segment_calls_total", model="champion", property="country", value=value)
        for value in ("NO", "SE", "other")
    }
    assert calls == {"NO": 2, "SE": 1, "other": 2}
    assert sample(client, "segment_calls_total", model="challenger", value="NO") == 0
    groups = [one for one in series(client, "segment_group_calls_total") if one["value"] == "NO"]
    assert [one["model"] for one in groups] == ["champion"]  # one user is of one group
    assert sample(client, "segment_errors_total", model="champion", value="NO") == 0


def test_a_user_who_fails_again_is_one_bad_user_window_of_a_segment() -> None:
    registry = CollectorRegistry()
    segments = Segments(registry, {"country": ("NO",)}, {"country": ("SE",), "plan": ("free",)})
    for failed in (True, False):
        segments.count(Model.CHALLENGER, {"country": "NO"}, 100, bad=True, failed=failed)
    segments.count(Model.CHAMPION, {"country": "SE", "plan": "free"}, 6, bad=True, failed=True)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    norway = {"model": "challenger", "property": "country", "value": "NO"}
    assert value("segment_errors_total", **norway) == 2
    assert value("segment_user_windows_bad_total", **norway) == 1
    assert value("segment_group_calls_total", **norway, group="20") is None
    sweden = {"model": "champion", "property": "country", "value": "SE"}
    assert value("segment_group_user_windows_bad_total", **sweden, group="2") == 1
    assert value("segment_calls_total", model="challenger", property="plan", value="other") == 2


def test_the_guardrails_say_which_segments_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text(  # the last NO is a false, which the job refuses
        "guardrails:\n"
        '  - {name: a, segments: {by: country, values: ["NO", SE, NO]}}\n'
        "  - {name: b, segments: {by: country, values: [SE, DK]}}\n"
        "  - {name: c}\n"
    )
    assert judged_segments(file) == {"country": ("NO", "SE", "DK")}
    file.write_text("guardrails: [")
    assert judged_segments(file) == {}


def test_a_setting_names_them_too() -> None:
    found = listed_segments("country=NO, plan=free plan,country=SE")
    assert found == {"country": ("NO", "SE"), "plan": ("free plan",)}
    many = ",".join(f"a={number}" for number in range(21))
    for text, fault in (("country", "no PROPERTY=VALUE"), (many, "more than 20 times")):
        with pytest.raises(ValueError, match=fault):
            listed_segments(text)
