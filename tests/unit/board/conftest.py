"""Rollouts as files, and what their Unleash and Prometheus say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from board.numbers import Numbers
from common.measured import Measured
from flags.rollout.situation import Rollout, Situation
from tests.unit.board.scenes import history, numbers
from tests.unit.flags.rollout.scenes import GOOD, JOB, PERSON, VERSION, at, off, share

FILE = """\
name: {name}
description: About {name}.
flag: {{name: {name}-flag}}
arms: {{selector: {{job: {name}}}, label: variant, champion: control, challenger: new}}
signals: {{calls: requests_total, errors: failures_total}}
guardrails: http-service
plan: canary
"""
ROLLED_BACK = at(5, share(PERSON, 0, 5), off(JOB), enabled=False, quarantined=(VERSION,))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the file of a rollout, or another text into it."""

    def one(name: str, text: str | None = None) -> Path:
        path = tmp_path / "rollouts" / name / "rollout.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILE.format(name=name) if text is None else text)
        return path

    return one


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a board of these files, whose Unleash and Prometheus nobody asks."""
    return {
        "CANARIO_ROLLOUTS": str(tmp_path / "rollouts"),
        "CANARIO_UNLEASH_URL": "http://127.0.0.1:1",
        "CANARIO_UNLEASH_ADMIN_TOKEN": "user:x",
        "CANARIO_PROMETHEUS_URL": "http://127.0.0.1:1",
    }


class World:
    """What Unleash and Prometheus say of the rollouts, by their flags, and how often they were asked."""

    def __init__(self) -> None:
        self.seen: dict[str, Situation] = {"ranker-flag": at(5), "search-flag": ROLLED_BACK}
        fine = (Measured("errors", "ok"),)
        self.numbers = numbers(replace(GOOD, guardrails=fine))
        self.asked: list[str] = []

    def flags(self, rollout: Rollout, *_shared: object) -> Callable[[], Situation]:
        def read() -> Situation:
            self.asked.append(f"flags {rollout.flag}")
            return self.seen[rollout.flag]

        return read

    def read_numbers(self, rollout: Rollout, *_: Any) -> Numbers:
        self.asked.append(f"numbers {rollout.flag}")
        return self.numbers


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """In place of Unleash and Prometheus."""
    known = World()
    monkeypatch.setattr("board.sources.FlagReader", known.flags)
    monkeypatch.setattr("board.sources.read_numbers", known.read_numbers)
    monkeypatch.setattr("board.sources.read_history", lambda *_: history())
    return known
