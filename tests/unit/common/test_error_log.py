"""A challenger that always fails does not fill the log."""

import logging

import pytest

from common.logs import LOGGED_EVERY_SECONDS, ErrorLog


def test_one_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    monkeypatch.setattr("common.logs.time.monotonic", lambda: clock[0])
    made = ErrorLog(logging.getLogger("challenger"), "it fails: %s")
    for second in (0.0, 1.0, LOGGED_EVERY_SECONDS - 1, LOGGED_EVERY_SECONDS, LOGGED_EVERY_SECONDS + 1):
        clock[0] = second
        made.warn(f"at {second:.0f}")
    assert [record.getMessage() for record in caplog.records] == ["it fails: at 0", "it fails: at 60"]
