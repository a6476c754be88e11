import json
from datetime import timedelta
from pathlib import Path

import pytest

from common.config import ConfigError
from rollback.guardrails.file import load_policy, read_guardrail
from rollback.guardrails.kinds.base import Guardrail
from rollback.guardrails.kinds.counters import CounterLimit, CounterRatio
from rollback.guardrails.kinds.sequential import Sequential
from rollback.guardrails.kinds.tails import TailLimit, TailRatio
from rollback.guardrails.kinds.template import render
from rollback.guardrails.kinds.threshold import Direction, Threshold
from rollback.guardrails.verdict import Action
from tests.unit.rollback.conftest import ARMS, make_policy

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
    (slow,) = policy.of(Threshold)
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
        (
            "window: 5m",
            "window: 14s",
            ":10: guardrails[0].window: the window of slow is shorter than 3 scrapes (15s)",
        ),
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
    assert render(template, timedelta(seconds=90), ARMS) == filled


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
    (guardrail,) = make_policy(direction=direction).of(Threshold)
    assert guardrail.is_breached_by(value) is breached


def test_the_shipped_guardrails() -> None:
    policy = load_policy()
    limits = {each.name: (each.limit, each.hold, each.action) for each in policy.of(Threshold)}
    assert limits == {
        "challenger-p99": (0.2, None, Action.ROLLBACK),
        "challenger-errors": (0.2, None, Action.ROLLBACK),
        "challenger-p99-ratio": (1.2, timedelta(minutes=5), Action.ROLLBACK),
        "agreement": (0.9, None, Action.WARN),
    }
    assert {each.name: (type(each), each.action) for each in policy.of(Sequential)} == {
        "errors": (CounterRatio, Action.ROLLBACK),
        "tail-latency": (TailRatio, Action.ROLLBACK),
        "hard-latency": (TailLimit, Action.ROLLBACK),
        "conversion": (CounterRatio, Action.WARN),
    }


SEQUENTIAL = """\
scrape_interval: 5s
step: 15s
alpha: 0.1
late_start: {every: 1h, starts: 24, weight: 0.5}
guardrails:
  - kind: sequential
    name: errors
    description: Failed calls are lost calls.
    bad: bad_total{reason!="busy"}
    total: calls_total
    at_least: 0.001
    share_of_alpha: 0.6
    action: rollback
  - kind: sequential
    name: tail
    description: Slow calls are lost calls.
    histogram: latency_seconds
    quantile: 0.99
    margin: 1.2
    floor: 10ms
    share_of_alpha: 0.4
    action: pause
  - kind: sequential
    name: hard
    description: Slow calls are lost calls.
    histogram: latency_seconds
    slower_than: 200ms
    limit: 0.01
    share_of_alpha: 0.4
    action: rollback
  - kind: sequential
    name: gross
    description: Failed calls are lost calls.
    bad: bad_total
    total: calls_total
    limit: 0.1
    share_of_alpha: 0.9
    action: warn
"""


def test_the_forms_of_sequential_guardrails_are_told_apart_by_their_fields(tmp_path: Path) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text(SEQUENTIAL)
    policy = load_policy(file)
    assert [type(each) for each in policy.of(Sequential)] == [
        CounterRatio,
        TailRatio,
        TailLimit,
        CounterLimit,
    ]
    assert policy.of(Threshold) == ()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "bad: bad_total{reason!",
            "bad: bad_total{reason~",
            ":9: guardrails[0].bad: 'reason~=\"busy\"' is no matcher",
        ),
        (
            "total: calls_total\n    at",
            "total: calls-total\n    at",
            ":10: guardrails[0].total: 'calls-total' is no counter",
        ),
        (
            "bad: bad_total{reason",
            "bad: bad_total{model",
            ":9: guardrails[0].bad: the label model is added by the job",
        ),
        ("at_least: 0.001", "at_least: 2", ":11: guardrails[0].at_least: Input should be less than 0.9"),
        ("at_least: 0.001", "margin: 1.2", ":11: guardrails[0].margin: Extra inputs"),
        (
            "margin: 1.2",
            "margin: 0.9",
            ":19: guardrails[1].margin: Input should be greater than or equal to 1",
        ),
        ("quantile: 0.99", "quantile: 99", ":18: guardrails[1].quantile: Input should be less than 1"),
        ("floor: 10ms", "floor: 10", ":20: guardrails[1].floor: 10 is no duration"),
        ("floor: 10ms", "floor: 9s", ":20: guardrails[1].floor: latency_seconds has no bucket beyond 10s"),
        ("slower_than: 200ms", "slower_than: 11s", ":27: guardrails[2].slower_than: latency_seconds has no"),
        ("    limit: 0.01\n", "", ":23: guardrails[2].limit: Field required"),
        (
            "share_of_alpha: 0.4\n    action: roll",
            "share_of_alpha: 0.5\n    action: roll",
            ":29: guardrails[2].share_of_alpha: with hard those of guardrails that roll back add up to 1.1",
        ),
        ("alpha: 0.1\n", "alpha: 0\n", ":3: alpha: "),
        ("step: 15s", "step: 4s", ":2: step: is shorter than the scrape interval"),
        ("every: 1h", "every: 20s", ":4: late_start.every: is no multiple of the step, 15s"),
        (
            "at_least: 0.001",
            "worse: fewer\n    at_least: 0.1",
            ":6: guardrails[0]: at_least is a share of bad calls",
        ),
        ("- kind: sequential\n    name: errors", "- name: errors", ":6: guardrails[0].kind: Field required"),
    ],
)
def test_a_fault_of_a_sequential_guardrail_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert old in SEQUENTIAL
    assert fault in str(load(tmp_path, SEQUENTIAL.replace(old, new, 1)))


def test_a_guardrail_that_is_no_mapping_is_a_fault(tmp_path: Path) -> None:
    fault = str(load(tmp_path, "scrape_interval: 5s\nguardrails: [errors]\n"))
    assert ":2: guardrails[0]: is no guardrail" in fault


def test_faults_between_fields_are_told_all_at_once(tmp_path: Path) -> None:
    text = SEQUENTIAL.replace("step: 15s", "step: 4s").replace("share_of_alpha: 0.4", "share_of_alpha: 0.9")
    assert len(str(load(tmp_path, text)).splitlines()) == 2


@pytest.mark.parametrize("guardrail", load_policy().guardrails, ids=lambda guardrail: guardrail.name)
def test_a_guardrail_written_and_read_again_is_the_same(guardrail: Guardrail) -> None:
    fields = json.loads(json.dumps(guardrail.model_dump(mode="json", by_alias=True)))
    assert read_guardrail(fields) == guardrail
