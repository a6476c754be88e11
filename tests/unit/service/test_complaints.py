"""A challenger that always fails does not fill the log."""

import logging

import pytest

from service.guest.complaints import TOLD_EVERY_SECONDS, Complaints


def test_one_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    monkeypatch.setattr("service.guest.complaints.time.monotonic", lambda: clock[0])
    made = Complaints(logging.getLogger("challenger"), "it fails: %s")
    for second in (0.0, 1.0, TOLD_EVERY_SECONDS - 1, TOLD_EVERY_SECONDS, TOLD_EVERY_SECONDS + 1):
        clock[0] = second
        made.tell(f"at {second:.0f}")
    assert [record.getMessage() for record in caplog.records] == ["it fails: at 0", "it fails: at 60"]
