"""The plan as a table: what a person did in Unleash, and what becomes of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from flags.canary.snapshot import Snapshot
from flags.desired.file import DesiredFlag, Initial
from flags.desired.plan import FlagPlan, KeptDifference, plan
from flags.desired.steps import AddStrategy, ChangeField, ChangeParameter, CreateFlag, FlagStep, Switch
from flags.unleash.models import EnvironmentState, Event, Feature, Strategy
from tests.unit.flags.fake_unleash import gradual

ADA = " (last change: feature-strategy-update by ada at 2026-11-23 06:00:00 UTC)"
AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
DEFAULT = {"name": "default"}


def event(kind: str = "feature-strategy-update") -> Event:
    return Event(id=1, type=kind, created_by="ada", created_at=AT)


def wanted(percent: int = 0, enabled: bool = True) -> DesiredFlag:
    return DesiredFlag(name="canary", description="d", initial=Initial(enabled=enabled, percent=percent))


def found(
    *strategies: dict[str, Any],
    enabled: bool = True,
    last: Event | None = None,
    kind: str = "release",
    description: str | None = "d",
) -> Snapshot:
    read = tuple(Strategy.model_validate({"id": f"s{n}", **one}) for n, one in enumerate(strategies, 1))
    here = EnvironmentState(name="production", enabled=enabled, strategies=read)
    feature = Feature(name="canary", type=kind, description=description, environments=(here,))
    return Snapshot("canary", "default", "production", feature, archived=False, last_change=last or event())


def absent(last: Event | None = None, *, archived: bool = False) -> Snapshot:
    return Snapshot("canary", "default", "production", None, archived=archived, last_change=last)


def planned(desired: DesiredFlag, shot: Snapshot, *, force: bool = False) -> FlagPlan:
    (only,) = plan([desired], {"canary": shot}, force_share=force)
    return only


CREATE = CreateFlag("canary", "release", "d")


def parameter(name: str, old: str | None, new: str) -> ChangeParameter:
    return ChangeParameter("canary", "s1", name, old, new)


@pytest.mark.parametrize(
    ("desired", "shot", "steps"),
    [
        pytest.param(
            wanted(), absent(), [CREATE, AddStrategy("canary", 0, "userId"), Switch("canary", True)], id="new"
        ),
        pytest.param(
            wanted(enabled=False), absent(), [CREATE, AddStrategy("canary", 0, "userId")], id="new off"
        ),
        pytest.param(
            wanted(7),
            absent(event("feature-deleted")),
            [CREATE, AddStrategy("canary", 7, "userId"), Switch("canary", True)],
            id="deleted for good is new",
        ),
        pytest.param(
            wanted(7),
            found(enabled=False, last=event("feature-created")),
            [AddStrategy("canary", 7, "userId"), Switch("canary", True)],
            id="stopped after the first step",
        ),
        pytest.param(wanted(), found(gradual(0)), [], id="as the file says"),
        pytest.param(
            wanted(),
            found(gradual(0), description="old"),
            [ChangeField("canary", "description", "old", "d")],
            id="description",
        ),
        pytest.param(
            wanted(),
            found(gradual(0), description=None),
            [ChangeField("canary", "description", None, "d")],
            id="no description",
        ),
        pytest.param(
            wanted(),
            found(gradual(0), kind="experiment"),
            [ChangeField("canary", "type", "experiment", "release")],
            id="type",
        ),
        pytest.param(
            wanted(),
            found(gradual(0, parameters={"stickiness": "random"})),
            [parameter("stickiness", "random", "userId")],
            id="stickiness",
        ),
        pytest.param(
            wanted(),
            found(gradual(0, parameters={"stickiness": None})),
            [parameter("stickiness", None, "userId")],
            id="no stickiness",
        ),
        pytest.param(
            wanted(),
            found(gradual(0, parameters={"groupId": "other"})),
            [parameter("groupId", "other", "canary")],
            id="group while nobody is in",
        ),
        pytest.param(
            wanted(5, enabled=False),
            found(gradual(5, parameters={"groupId": "other"}), enabled=False),
            [parameter("groupId", "other", "canary")],
            id="group while off",
        ),
        pytest.param(
            wanted(),
            found(gradual(0, constraints=[{"contextName": "country", "operator": "IN"}], segments=[1])),
            [],
            id="constraints and segments are people's",
        ),
        pytest.param(
            wanted(), found({**DEFAULT, "disabled": True}, gradual(0)), [], id="a disabled one beside it"
        ),
    ],
)
def test_steps_without_anything_kept(desired: DesiredFlag, shot: Snapshot, steps: list[FlagStep]) -> None:
    assert planned(desired, shot) == FlagPlan("canary", steps=tuple(steps))


@pytest.mark.parametrize(
    ("desired", "shot", "steps", "kept"),
    [
        pytest.param(
            wanted(), found(gradual(25)), [], [KeptDifference("share", "25%", "0%", ADA)], id="raised"
        ),
        pytest.param(
            wanted(25), found(gradual(0)), [], [KeptDifference("share", "0%", "25%", ADA)], id="lowered"
        ),
        pytest.param(
            wanted(), found(gradual("abc")), [], [KeptDifference("share", "abc%", "0%", ADA)], id="unreadable"
        ),
        pytest.param(
            wanted(),
            found(gradual(0), enabled=False),
            [],
            [KeptDifference("switch", "off", "on", ADA)],
            id="turned off",
        ),
        pytest.param(
            wanted(enabled=False),
            found(gradual(0)),
            [],
            [KeptDifference("switch", "on", "off", ADA)],
            id="turned on",
        ),
        pytest.param(
            wanted(),
            found(gradual(0, disabled=True), enabled=False),
            [],
            [
                KeptDifference("strategy", "disabled", "active", ADA),
                KeptDifference("switch", "off", "on", ADA),
            ],
            id="strategy disabled",
        ),
        pytest.param(
            wanted(),
            found(gradual(25, parameters={"stickiness": "default"})),
            [parameter("stickiness", "default", "userId")],
            [KeptDifference("share", "25%", "0%", ADA)],
            id="stickiness mended, share kept",
        ),
        pytest.param(
            wanted(5),
            found(gradual(5, parameters={"groupId": "other"})),
            [],
            [KeptDifference("group", "other", "canary", " (users are in)")],
            id="group while users are in",
        ),
        pytest.param(
            wanted(25),
            found(enabled=False),
            [AddStrategy("canary", 0, "userId")],
            [KeptDifference("share", "0%", "25%", ADA), KeptDifference("switch", "off", "on", ADA)],
            id="a deleted strategy comes back at 0",
        ),
    ],
)
def test_what_people_decided_is_kept_and_told(
    desired: DesiredFlag, shot: Snapshot, steps: list[FlagStep], kept: list[KeptDifference]
) -> None:
    assert planned(desired, shot) == FlagPlan("canary", steps=tuple(steps), kept=tuple(kept))


@pytest.mark.parametrize(
    ("desired", "shot", "steps"),
    [
        pytest.param(wanted(), found(gradual(25)), [parameter("rollout", "25", "0")], id="share"),
        pytest.param(wanted(), found(gradual("abc")), [parameter("rollout", "abc", "0")], id="unreadable"),
        pytest.param(wanted(), found(gradual(0), enabled=False), [Switch("canary", True)], id="on"),
        pytest.param(wanted(enabled=False), found(gradual(0)), [Switch("canary", False)], id="off"),
        pytest.param(
            wanted(5),
            found(gradual(25), enabled=False),
            [parameter("rollout", "25", "5"), Switch("canary", True)],
            id="the share before the switch",
        ),
        pytest.param(
            wanted(25),
            found(enabled=False),
            [AddStrategy("canary", 25, "userId"), Switch("canary", True)],
            id="a deleted strategy",
        ),
        pytest.param(wanted(), found(gradual(0)), [], id="nothing to force"),
    ],
)
def test_force_sets_share_and_switch(desired: DesiredFlag, shot: Snapshot, steps: list[FlagStep]) -> None:
    assert planned(desired, shot, force=True) == FlagPlan("canary", steps=tuple(steps))


def test_force_does_not_enable_a_strategy_that_a_person_disabled() -> None:
    forced = planned(wanted(), found(gradual(5, disabled=True), enabled=False), force=True)
    assert forced.steps == ()
    assert [kept.what for kept in forced.kept] == ["strategy", "share", "switch"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("shot", "words"),
    [
        pytest.param(absent(event("feature-archived"), archived=True), "is archived", id="archived"),
        pytest.param(found(gradual(0), DEFAULT), "has 2 strategies", id="several"),
        pytest.param(found(gradual(0), gradual(5)), "has 2 strategies", id="two shares"),
        pytest.param(found(DEFAULT), "only default", id="another kind"),
    ],
)
def test_what_needs_a_person_is_left_alone(shot: Snapshot, words: str, force: bool) -> None:
    left = planned(wanted(), shot, force=force)
    assert (left.steps, left.kept) == ((), ())
    assert words in str(left.conflict)


def test_the_flag_itself_is_mended_beside_a_conflict() -> None:
    left = planned(wanted(), found(gradual(0), DEFAULT, description="old"))
    assert left.steps == (ChangeField("canary", "description", "old", "d"),)
    assert left.conflict


def test_the_plan_keeps_the_order_of_the_file() -> None:
    names = ["b", "a", "c"]
    desired = [DesiredFlag(name=name, description="d") for name in names]
    current = {name: Snapshot(name, "default", "production", None, False, None) for name in names}
    assert [one.flag for one in plan(desired, current)] == names


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (CREATE, "create the release flag"),
        (AddStrategy("canary", 5, "userId"), "add a gradual rollout of 5% by userId"),
        (ChangeField("canary", "type", "a", "b"), "set its type from 'a' to 'b'"),
        (parameter("rollout", "25", "0"), "set the strategy's rollout from 25 to 0"),
        (parameter("stickiness", None, "userId"), "set the strategy's stickiness from nothing to userId"),
        (Switch("canary", True), "turn it on"),
        (Switch("canary", False), "turn it off"),
        (KeptDifference("share", "25%", "0%", ADA), f"share: Unleash says 25%, the file says 0%{ADA}"),
    ],
)
def test_steps_for_people(step: FlagStep | KeptDifference, text: str) -> None:
    assert str(step) == text
