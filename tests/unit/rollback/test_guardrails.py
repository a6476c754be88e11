from datetime import timedelta
from pathlib import Path

import pytest

from common.config import ConfigError
from rollback.guardrails import Action, Direction, load_policy, render
from tests.unit.rollback.conftest import make_policy

GOOD = """\
scrape_interval: 5s
guardrails:
  - kind: threshold
    name: slow
    description: Slow answers are lost answers.
    value: rate(x{model="{challenger}"}[{window}])
    direction: above
    limit: 0.2
    for: 1m
    window: 5m
    sample: increase(x[{window}])
    smallest_sample: 50
    action: rollback
"""


def load(tmp_path: Path, text: str) -> ConfigError:
    file = tmp_path / "guardrails.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_policy(file)
    return caught.value


def test_a_file_becomes_a_policy(tmp_path: Path) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text(GOOD)
    policy = load_policy(file)
    (slow,) = policy.thresholds
    assert policy.scrape_interval == timedelta(seconds=5)
    assert (slow.direction, slow.action) == (Direction.ABOVE, Action.ROLLBACK)
    assert (slow.window, slow.hold) == (timedelta(minutes=5), timedelta(minutes=1))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("limit: 0.2", "limit: .nan", ":8: guardrails[0].limit: "),
        ("limit: 0.2", "limit: .inf", ":8: guardrails[0].limit: "),
        ("limit: 0.2", "limit: fast", ":8: guardrails[0].limit: "),
        ("direction: above", "direction: beyond", ":7: guardrails[0].direction: "),
        ("kind: threshold", "kind: magic", ":3: guardrails[0].kind: "),
        ("name: slow", "name: Slow One", ":4: guardrails[0].name: "),
        ("for: 1m", "for: 60", ":9: guardrails[0].for: 60 is no duration"),
        ("window: 5m", "window: 14s", "the window of slow is shorter than 3 scrapes (15s)"),
        (
            "[{window}])\n    dir",
            "[5m])\n    dir",
            ":6: guardrails[0].value: {window} is missing",
        ),
        ("{challenger}", "{guest}", ":6: guardrails[0].value: {guest} is no known placeholder"),
        ("increase(x[{window}])", "x", ":11: guardrails[0].sample: {window} is missing"),
        ("smallest_sample: 50", "smallest_sample: 0", ":12: guardrails[0].smallest_sample: "),
        ("action: rollback", "action: pray", ":13: guardrails[0].action: "),
        ("action: rollback", "acton: rollback", ":13: guardrails[0].acton: Extra inputs"),
        ("scrape_interval: 5s\n", "", ":1: scrape_interval: Field required"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    assert fault in str(load(tmp_path, GOOD.replace(old, new)))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("limit: 0.2", "limit: x").replace("window: 5m", "window: x")
    assert len(str(load(tmp_path, text)).splitlines()) == 2


def test_two_guardrails_of_one_name_are_a_fault(tmp_path: Path) -> None:
    text = GOOD + GOOD[GOOD.index("  - kind") :]
    assert ":2: guardrails: names must differ, but some stand here twice: slow" in str(load(tmp_path, text))


def test_no_guardrail_is_a_fault(tmp_path: Path) -> None:
    text = "scrape_interval: 5s\nguardrails: []\n"
    assert ":2: guardrails: there is none" in str(load(tmp_path, text))


def test_placeholders_are_filled_in_and_matchers_left_alone() -> None:
    template = 'up{} + rate(x{model="{challenger}", other=~"{champion}|a{2}"}[{ window }])\n  * 2'
    filled = 'up{} + rate(x{model="challenger", other=~"champion|a{2}"}[1m30s]) * 2'
    assert render(template, timedelta(seconds=90)) == filled


@pytest.mark.parametrize(
    ("direction", "value", "breached"),
    [
        ("above", 0.21, True),
        ("above", 0.2, False),
        ("above", 0.19, False),
        ("below", 0.19, True),
        ("below", 0.2, False),
        ("below", 0.21, False),
    ],
)
def test_the_limit_itself_is_allowed(direction: str, value: float, breached: bool) -> None:
    (guardrail,) = make_policy(direction=direction).thresholds
    assert guardrail.is_breached_by(value) is breached


def test_the_shipped_guardrails_are_the_three_of_this_stage() -> None:
    policy = load_policy()
    limits = {each.name: (each.limit, each.hold, each.action) for each in policy.thresholds}
    assert limits == {
        "challenger-p99": (0.2, None, Action.ROLLBACK),
        "challenger-errors": (0.05, None, Action.ROLLBACK),
        "challenger-p99-ratio": (1.2, timedelta(minutes=5), Action.ROLLBACK),
    }
