"""Without OpenTelemetry's SDK, or without a variable that asks for spans, nothing is different."""

import logging
import sys
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from service import spans
from service.spans import Flag, Spans, open_spans
from tests.unit.service.conftest import ROW

FLAG = Flag("canary", "unleash")


def test_nothing_is_imported_where_nothing_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # an import would raise
    assert type(open_spans(FLAG, {})) is Spans


def test_a_missing_sdk_is_one_line_of_the_log_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with caplog.at_level(logging.WARNING, spans.__name__):
        assert type(open_spans(FLAG, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})) is Spans
    (record,) = caplog.records
    assert "pip install -r locks/otel.txt" in record.getMessage()


def test_a_request_without_spans(start: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    client = start()
    assert client.post("/predict", json={"user_id": "u", "features": ROW}).status_code == 200
    assert client.get("/assign", headers={"x-user-id": "u"}).status_code == 200
