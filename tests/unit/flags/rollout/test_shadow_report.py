"""The shadow report as a gate: its file as the analysis writes it, and what keeps the gate shut."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flags.rollout.condition import Condition
from flags.rollout.conditions import conditions_of
from flags.rollout.schema import RolloutPlan
from flags.rollout.shadow_report import ShadowReport, read_report
from flags.rollout.situation import position_of
from tests.unit.flags.rollout.scenes import NOW, at

PLAN = RolloutPlan.model_validate(
    {"stages": [{"shadow": 100, "shadow_report": {"file": "shadow.json", "max_age": "1d"}}, {"share": 5}]}
)
GOOD = ShadowReport(written=NOW - timedelta(hours=2), version="2", requests=12_000, passed=True)


def gate(report: ShadowReport | None) -> Condition:
    seen = replace(at(0), shadow_report=report)
    return next(
        one for one in conditions_of(PLAN, position_of(PLAN, seen), seen) if one.name == "shadow report"
    )


def test_a_good_report_opens_the_gate() -> None:
    found = gate(GOOD)
    assert found.holds
    assert found.sentence == "made 2h ago on 12,000 requests: all its limits hold"


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (None, "was not read"),
        (ShadowReport(fault="shadow.json is not there"), "is not there"),
        (replace(GOOD, written=NOW - timedelta(days=2)), "made 2d ago, and 1d is the most"),
        (replace(GOOD, written=NOW + timedelta(hours=1)), "dated in the future"),
        (replace(GOOD, version="1"), "about version 1, and 2 0123456789ab is deployed"),
        (replace(GOOD, passed=None), "without --fail-on"),
        (replace(GOOD, passed=False, breached=("errors>0.01 is not met (0.02)",)), "errors>0.01 is not met"),
    ],
)
def test_what_keeps_it_shut(report: ShadowReport | None, words: str) -> None:
    found = gate(report)
    assert not found.holds
    assert words in found.sentence


def as_written(**numbers: Any) -> dict[str, Any]:
    told = {
        "kind": "shadow",
        "written": NOW.isoformat(),
        "champion": {"name": "loan", "version": "1"},
        "challenger": {"name": "loan", "version": "2"},
        "requests": 5000,
        "passed": False,
        "limits": [
            {"limit": "agreement<0.95", "value": 0.9, "breached": True},
            {"limit": "errors>0.01", "value": None, "breached": True},
            {"limit": "psi>0.2", "value": 0.1, "breached": False},
        ],
    }
    return {"title": "t", "numbers": told | numbers}


def test_a_report_is_read(tmp_path: Path) -> None:
    file = tmp_path / "shadow.json"
    file.write_text(json.dumps(as_written()), encoding="utf-8")
    assert read_report(file) == ShadowReport(
        written=NOW,
        version="2",
        requests=5000,
        passed=False,
        breached=("agreement<0.95 is not met (0.9)", "errors>0.01 is not met"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no shadow report"),
        ("[]", "is no shadow report"),
        ('{"numbers": {}}', "numbers.kind"),
        (json.dumps(as_written(kind="segments")), "a report of segments"),
        (json.dumps(as_written(written="2026-11-23T10:00:00")), "numbers.written"),
        (b"\xff\xfe", "is no shadow report"),
        (b"[" * 100_000, "is no shadow report"),
    ],
)
def test_what_is_no_report(tmp_path: Path, text: str | bytes, words: str) -> None:
    file = tmp_path / "shadow.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in str(read_report(file).fault)


def test_a_missing_file_says_how_it_is_made(tmp_path: Path) -> None:
    assert "./canario report shadow" in str(read_report(tmp_path / "no.json").fault)


def test_only_the_shadow_stage_may_ask_for_it() -> None:
    with pytest.raises(ValidationError, match="shadow_report"):
        RolloutPlan.model_validate({"stages": [{"share": 5, "shadow_report": {"file": "a.json"}}]})
