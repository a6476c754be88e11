"""Passes and backtests over history, on a real Prometheus."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bench.backfill import Arm, Traffic, play, prometheus_over
from bench.passes import MOST_REQUESTS, measure
from stack.paths import REPOSITORY

HOUR = 3600.0


@pytest.fixture(scope="module")
def champion_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three hours of a champion that fails once in 250 calls, and of no canary."""
    traffic = Traffic(seconds=3 * HOUR, share=0.0, champion=Arm(errors=0.004))
    history = play(np.random.default_rng(1), [traffic], until=time.time())
    with prometheus_over(history, tmp_path_factory.mktemp("history")) as url:
        yield url


def backtest(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rollback", "backtest", *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "CANARIO_PROMETHEUS_URL": url},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_pass_with_ten_guardrails_takes_few_requests(tmp_path: Path) -> None:
    """How long it takes is for `make bench-passes` to say."""
    cost = measure("1h", 2, tmp_path)
    assert cost.guardrails == 10
    assert cost.requests <= MOST_REQUESTS


def test_a_pretended_canary_shows_false_rollbacks_and_delays(champion_only: str, tmp_path: Path) -> None:
    page, file = tmp_path / "evidence.html", tmp_path / "figures.json"
    done = backtest(
        champion_only,
        *("--since", "110m", "--until", (datetime.now(UTC) - timedelta(minutes=5)).isoformat()),
        *("--share", "25", "--stage", "50m", "--draws", "3", "--after", "20m"),
        *("--inject", "errors x5", "--picture", str(page), "--json", str(file)),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures["false_rollbacks"]["rollouts"] == 6
    assert figures["false_rollbacks"]["rolled_back"] == 0
    assert figures["delay"]["missed"] == 0
    assert set(figures["delay"]["by"]) == {"errors"}
    assert figures["delay"]["median_minutes"] < 5
    assert page.read_text(encoding="utf-8").count("<svg") == 3


def test_a_time_without_history_is_said(champion_only: str) -> None:
    done = backtest(champion_only, "--since", "30d", "--until", "29d")
    assert done.returncode == 3
    assert "Prometheus remembers no calls of the champion" in done.stderr
    assert "Traceback" not in done.stderr
