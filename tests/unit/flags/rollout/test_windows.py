"""When stages may begin: clocks that are moved, days of other zones, freezes, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config import ConfigError
from flags.rollout.decide import StepKind, decide
from flags.rollout.schema import RolloutPlan, load_plan
from flags.rollout.windows import DAYS, Calendar, Freeze, Window
from rollback.guardrails.file import load_policy
from rollback.simulate.forecast import ExpectedTraffic, days_to_all, foresee
from tests.thorough import part
from tests.unit.flags.rollout.scenes import NOW, PLAN, PLAN_JOB, at, share

OFFICE = {"days": ["mon", "tue", "wed", "thu"], "hours": "09:00-16:00", "zone": "Europe/Oslo"}
HOLIDAYS = {"from": "2026-12-20", "until": "2027-01-04", "reason": "holidays"}
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(*freezes: dict[str, Any], **window: Any) -> Calendar:
    return Calendar(
        Window.model_validate(window) if window else None, [Freeze.model_validate(each) for each in freezes]
    )


@pytest.mark.parametrize(
    ("window", "after", "opens"),
    [
        pytest.param(OFFICE, "2026-12-04T17:00", "2026-12-07T08:00", id="Friday at 18:00 in Oslo"),
        pytest.param(OFFICE, "2026-12-07T07:59", "2026-12-07T08:00", id="a minute before"),
        pytest.param(OFFICE, "2026-12-07T14:59", "2026-12-07T14:59", id="open"),
        pytest.param(OFFICE, "2026-12-07T15:00", "2026-12-08T08:00", id="the end is outside"),
        pytest.param(OFFICE, "2026-03-26T16:00", "2026-03-30T07:00", id="summer time came in between"),
        pytest.param(OFFICE, "2026-10-22T16:00", "2026-10-26T08:00", id="and went"),
        pytest.param(OFFICE | {"days": ["mon"]}, "2026-12-07T15:00", "2026-12-14T08:00", id="a week"),
        pytest.param(
            {"days": ["sun"], "hours": "02:30-05:00", "zone": "Europe/Oslo"},
            "2026-03-29T00:00",
            "2026-03-29T01:00",
            id="begins in the hour that is left out",
        ),
        pytest.param(
            {"days": ["sun"], "hours": "02:00-03:00", "zone": "Europe/Oslo"},
            "2026-03-29T00:00",
            "2026-04-05T00:00",
            id="lies in it whole: not that day",
        ),
        pytest.param(
            {"hours": "02:15-02:45", "zone": "Europe/Oslo"},
            "2026-10-25T00:50",
            "2026-10-25T01:15",
            id="in the hour that comes twice: twice",
        ),
        pytest.param(
            {"hours": "01:00-02:30", "zone": "Europe/Oslo"},
            "2026-10-25T00:45",
            "2026-10-25T01:00",
            id="open again when clocks are put back",
        ),
        pytest.param(
            {"zone": "Asia/Kathmandu", "hours": "00:00-00:01"},
            "2026-12-07T00:00",
            "2026-12-07T18:15",
            id="a zone of quarters",
        ),
        pytest.param(
            {"zone": "America/Santiago", "hours": "00:00-12:00", "days": ["sun"]},
            "2026-09-06T02:00",
            "2026-09-06T04:00",
            id="midnight is left out",
        ),
    ],
)
def test_it_opens(window: dict[str, Any], after: str, opens: str) -> None:
    assert calendar(**window).opens(utc(after)) == utc(opens)


WINDOWS = st.builds(
    lambda days, begin, end, zone: Window(
        days=tuple(days), hours=f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}", zone=zone
    ),
    st.sets(st.sampled_from(DAYS), min_size=1).map(sorted),
    st.integers(0, 1438),
    st.just(1440),
    st.sampled_from(["Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]),
) | st.builds(
    lambda begin, length, zone: Window(hours=f"{begin:02}:10-{begin + length:02}:40", zone=zone),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(["Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/Santiago"]),
)
TIMES = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)),
    st.builds(
        lambda day, minutes: datetime.fromisoformat(day) + minutes * MINUTE,
        st.sampled_from(["2026-03-29T01:00", "2026-10-25T01:00", "2026-04-05T15:00", "2026-09-06T04:00"]),
        st.integers(-2000, 2000),
    ),
)


@settings(max_examples=part(150), deadline=None)
@given(window=WINDOWS, after=TIMES)
def test_it_opens_at_the_first_minute_that_it_is_open(window: Window, after: datetime) -> None:
    begin = after.replace(tzinfo=UTC, second=0, microsecond=0)
    opens = window.opens(begin)
    assert opens >= begin
    assert window.is_open(opens)
    assert (opens - begin) < timedelta(days=9)
    steps = int((opens - begin) / MINUTE)
    near = range(max(steps - 200, 0), steps)
    assert not any(window.is_open(begin + step * MINUTE) for step in [*near, *range(0, steps, 7)])


@settings(max_examples=part(60), deadline=None)
@given(window=WINDOWS, after=TIMES, days=st.integers(0, 40), ahead=st.integers(-3, 3))
def test_a_freeze_puts_it_off(window: Window, after: datetime, days: int, ahead: int) -> None:
    begin = after.replace(tzinfo=UTC, second=0, microsecond=0)
    first = begin.date() + timedelta(days=ahead)
    freeze = Freeze.model_validate(
        {"from": first, "until": first + timedelta(days=days), "reason": "x", "zone": "Europe/Oslo"}
    )
    found = Calendar(window, [freeze]).opens(begin)
    assert found is not None
    assert window.is_open(found)
    assert not freeze.holds(found, "UTC")
    plain = window.opens(begin)
    assert found == plain if not freeze.holds(plain, "UTC") else found > plain


def test_days_of_a_freeze_are_those_of_its_zone_both_included() -> None:
    found = calendar(HOLIDAYS, **OFFICE)
    assert found.is_open(utc("2026-12-17T14:00"))
    assert found.opens(utc("2026-12-21T10:00")) == utc("2027-01-05T08:00")
    assert calendar(HOLIDAYS).opens(utc("2027-01-04T23:59")) == utc("2027-01-05T00:00")
    tokyo = calendar(HOLIDAYS | {"zone": "Asia/Tokyo"})
    assert tokyo.opens(utc("2027-01-04T10:00")) == utc("2027-01-04T15:00")
    assert found.judge(utc("2026-12-21T10:00")) == (
        False,
        "no stage begins from 2026-12-20 to 2027-01-04 (holidays)",
    )


def test_it_is_said_in_words() -> None:
    assert Window.model_validate(OFFICE).words == "Monday to Thursday, 09:00-16:00 Europe/Oslo"
    assert Window.model_validate({"days": ["fri", "mon", "tue"]}).words.startswith("Monday, Tuesday, Friday,")
    assert Window().words == "any day, 00:00-24:00 UTC"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"windows": OFFICE | {"zone": "Europe/Olso"}}, "no time zone such as Europe/Oslo"),
        ({"windows": OFFICE | {"zone": "../etc/passwd"}}, "no time zone"),
        ({"windows": OFFICE | {"hours": "16:00-09:00"}}, "holds no time"),
        ({"windows": OFFICE | {"hours": "09:00-09:00"}}, "holds no time"),
        ({"windows": OFFICE | {"hours": "9-16"}}, "pattern"),
        ({"windows": OFFICE | {"days": []}}, "at least 1"),
        ({"windows": OFFICE | {"days": ["monday"]}}, "'mon'"),
        ({"windows": OFFICE | {"days": ["mon", "mon"]}}, "twice"),
        ({"windows": OFFICE | {"day": ["mon"]}}, "Extra inputs"),
        ({"freezes": [HOLIDAYS | {"until": "2026-12-19"}]}, "until 2026-12-19 is before from 2026-12-20"),
        ({"freezes": [{"from": "2026-12-20", "until": "2026-12-24"}]}, "reason"),
        ({"stages": [{"share": 100, "windows": "never"}]}, "any_time"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump({"stages": [{"share": 100}]} | changes), encoding="utf-8")
    with pytest.raises(ConfigError, match=fault):
        load_plan(file)


def planned(**changes: Any) -> RolloutPlan:
    """The plan of the tables with these windows."""
    return RolloutPlan.model_validate(PLAN.model_dump(by_alias=True, exclude_unset=True) | changes)


def test_a_stage_waits_for_its_window_and_says_until_when() -> None:
    """NOW is Thursday, 2026-12-24, 06:00 UTC."""
    step = decide(planned(windows=OFFICE), at(1))
    assert step.kind is StepKind.WAIT
    (window,) = step.unmet
    assert window.name == "window"
    assert window.sentence == (
        "Thursday 2026-12-24 07:00 in Europe/Oslo; stages begin Monday to Thursday, 09:00-16:00 Europe/Oslo"
    )
    assert step.until == window.until == utc("2026-12-24T08:00")
    frozen = decide(planned(windows=OFFICE, freezes=[HOLIDAYS]), at(1))
    assert frozen.until == utc("2027-01-05T08:00")
    assert "holidays" in frozen.sentence
    later = replace(at(1), now=utc("2026-12-24T08:00"))
    later = replace(later, readings=replace(later.readings, last_pass=later.now))
    assert decide(planned(windows=OFFICE), later).kind is StepKind.ADVANCE


def test_it_is_the_window_of_the_moment_at_which_the_rest_is_met() -> None:
    """It is open now, and will not be when the time of the stage is over."""
    raised = share(PLAN_JOB, 0, 25)
    seen = at(25, raised)
    seen = replace(seen, now=seen.changes[-1].at + timedelta(hours=1))
    seen = replace(seen, readings=replace(seen.readings, last_pass=seen.now))
    due = seen.changes[-1].at + timedelta(hours=48)
    day = DAYS[(due.weekday() + 1) % 7]
    step = decide(planned(windows={"days": [day]}), seen)
    assert {one.name for one in step.unmet} == {"time", "window"}
    assert step.until == datetime.combine(due.date() + timedelta(days=1), datetime.min.time(), UTC)


def test_a_stage_has_its_own_and_a_promotion_that_of_the_plan() -> None:
    stages = [stage.model_dump(exclude_unset=True) for stage in PLAN.stages]
    stages[2] |= {"windows": "any_time", "freezes": []}
    plan = planned(windows=OFFICE, freezes=[HOLIDAYS], stages=stages)
    assert decide(plan, at(1)).kind is StepKind.ADVANCE
    assert decide(plan, at(0)).kind is StepKind.WAIT
    assert decide(plan, at(100)).kind is StepKind.WAIT
    assert decide(plan.faster(1000), at(100)).kind is not StepKind.WAIT


def test_the_forecast_counts_the_days_of_waiting() -> None:
    plan, traffic = planned(windows=OFFICE, freezes=[HOLIDAYS]), ExpectedTraffic(50.0, outcomes=10.0)
    free = days_to_all(foresee(plan, traffic, load_policy()))
    found = foresee(plan, traffic, load_policy(), NOW)
    assert found[0].waits == (utc("2027-01-05T08:00") - NOW).total_seconds()
    assert days_to_all(found) > free + 12
    starts = NOW
    for one in found:
        starts += timedelta(seconds=one.waits)
        assert plan.calendar(one.stage).is_open(starts)
        starts += timedelta(seconds=one.seconds)
