"""Replicas of one service: containers that share a state folder, an address and the numbers of processes."""

import socket
from pathlib import Path

import pytest

from service.models.reports import Reports, WorkerReport
from service.settings import Settings


def replica(monkeypatch: pytest.MonkeyPatch, host: str, settings: Settings) -> Path:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    return settings.workers_dir


def test_each_tells_of_its_own_workers_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise worker 15 of one would stand for worker 15 of the other, and hide that it is behind."""
    one, other = (replica(monkeypatch, host, settings) for host in ("3f0a", "77c2"))
    assert one != other
    assert one.parent == other.parent == settings.state_dir
    Reports(one).write(WorkerReport(pid=15, revision=2))
    assert not list(other.glob("*"))
