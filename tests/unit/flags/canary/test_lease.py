"""The lease: its segment, what a person's change means, and faults in between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flags.canary.lease import ensure_lease, read_lease, remove_lease, renew, taken_off
from flags.canary.lease_segment import Lease, conditions, end_of, lease_of, segment_name
from flags.canary.share import read_state, turn_off
from flags.desired.file import DesiredFlag, Initial
from flags.desired.plan import FlagPlan, KeptDifference, plan, read_current
from flags.desired.steps import ApplyOptions, AttachLease, RemoveLease, SetLink, carry_out
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile, ServerFault, StrategyAmbiguous
from flags.unleash.models import Event, Segment, Strategy
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual
from tests.unit.flags.server import Answer

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
LENGTH = timedelta(minutes=15)
COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO"]}


def clock(value: object, **fields: Any) -> dict[str, Any]:
    return {"contextName": "currentTime", "operator": "DATE_BEFORE", "value": value, **fields}


@pytest.mark.parametrize(
    ("constraints", "end"),
    [
        ([clock("2026-11-23T06:00:00.000Z")], NOW),
        ([clock("2026-11-23T07:00:00+01:00")], NOW),
        ([clock("2026-11-23T06:00:00")], NOW),
        ([clock("2026-11-24T06:00:00Z"), COUNTRY, clock("2026-11-23T06:00:00Z")], NOW),
        ([COUNTRY], None),
        ([], None),
        ([clock("soon")], None),
        ([clock(None)], None),
        ([clock("2026-11-23T06:00:00Z", inverted=True)], None),
        ([clock("2026-11-23T06:00:00Z", operator="DATE_AFTER")], None),
    ],
)
def test_the_end_of_a_segment(constraints: list[dict[str, Any]], end: datetime | None) -> None:
    assert end_of(Segment(id=1, name="n", constraints=tuple(constraints))) == end


def test_a_new_end_keeps_what_else_is_there() -> None:
    kept = conditions(NOW, [clock("2020-01-01T00:00:00Z"), COUNTRY])
    assert [one["contextName"] for one in kept] == ["country", "currentTime"]
    assert kept[1]["value"] == "2026-11-23T06:00:00.000Z"
    oslo = NOW.astimezone(datetime.strptime("+0100", "%z").tzinfo)
    assert conditions(oslo) == conditions(NOW)


@pytest.mark.parametrize(
    ("strategies", "attached"),
    [
        ([gradual(5, segments=[7])], True),
        ([gradual(5, segments=[3, 7])], True),
        ([gradual(5)], False),
        ([gradual(5, segments=[7]), gradual(5)], False),
        ([gradual(5, segments=[7]), gradual(5, disabled=True)], True),
        ([gradual(5, segments=[7], disabled=True)], True),
        ([], False),
    ],
)
def test_attached_is_what_every_active_strategy_depends_on(
    strategies: list[dict[str, Any]], attached: bool
) -> None:
    read = [Strategy.model_validate({"id": "s", **one}) for one in strategies]
    segment = Segment(id=7, name="n", constraints=tuple(map(dict, conditions(NOW))))
    assert lease_of(segment, read) == Lease(NOW, attached)


def test_what_is_left() -> None:
    assert Lease(NOW - timedelta(days=999), attached=True).left == timedelta()
    assert timedelta(minutes=14) < Lease(datetime.now(UTC) + LENGTH, attached=True).left <= LENGTH
    assert Lease(None, attached=True).left == timedelta.max


def update(who: str, before: list[int], after: list[int], strategy: str = "s1") -> Event:
    kind = "feature-strategy-update"
    old, new = gradual(5, id=strategy, segments=before), gradual(5, id=strategy, segments=after)
    return Event(id=1, type=kind, created_by=who, created_at=NOW, data=new, pre_data=old)


CLI = "canario-flags"


@pytest.mark.parametrize(
    ("events", "by"),
    [
        ([], None),
        ([update(CLI, [], [7])], None),
        ([update(CLI, [], [7]), update("ada", [7], [])], "ada"),
        ([update(CLI, [], [7]), update("ada", [3, 7], [3])], "ada"),
        ([update(CLI, [], [7]), update("ada", [7], []), update("eve", [], [3])], "ada"),
        ([update("ada", [7], []), update("eve", [], [7])], None),
        ([update("ada", [7], []), update("eve", [], [7]), update(CLI, [7], [])], None),
        ([update("ada", [7], [], "s2")], None),
        ([update("ada", [3], [])], None),
        ([update("ada", [7], [7])], None),
    ],
)
def test_who_took_it_off(events: list[Event], by: str | None) -> None:
    found = taken_off(events, "s1", 7)
    assert (found.created_by if found else None) == by


def test_a_lease_is_made_attached_renewed_and_removed(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5, segments=[3]))
    assert read_lease(admin, "canary") is None
    assert renew(admin, "canary", datetime.now(UTC)) is None
    lease = ensure_lease(admin, "canary", LENGTH)
    assert lease.attached
    assert lease.until is not None
    assert len(unleash.here()["strategies"][0]["segments"]) == 2
    assert unleash.segments[0]["name"] == "canario-lease-canary (production)"
    writes = len(unleash.writes())
    assert ensure_lease(admin, "canary", 2 * LENGTH) == lease
    assert len(unleash.writes()) == writes
    end = (datetime.now(UTC) + 2 * LENGTH).replace(microsecond=0)
    assert renew(admin, "canary", end) == Lease(end, attached=True)
    assert unleash.writes()[writes:] == [("PUT", str(unleash.segments[0]["id"]))]
    state = read_state(admin, "canary")
    assert (state.lease_until, state.lapsed) == (end, False)
    assert state.as_json()["lease_until"] == end.isoformat()
    remove_lease(admin, "canary")
    assert (unleash.here()["strategies"][0]["segments"], unleash.segments) == ([3], [])
    remove_lease(admin, "canary")


def test_a_segment_that_somebody_else_made_first_is_taken(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    name = segment_name("canary", "production")

    def another_process_is_faster() -> None:
        unleash.segments.append({"id": 9, "name": name, "constraints": conditions(NOW)})

    unleash.just_before("POST", "/segments", another_process_is_faster)
    assert ensure_lease(admin, "canary", LENGTH) == Lease(NOW, attached=True)


def test_a_segment_without_an_end_is_left_so(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5, segments=[9]))
    unleash.segments.append({"id": 9, "name": segment_name("canary", "production"), "constraints": [COUNTRY]})
    assert renew(admin, "canary", datetime.now(UTC)) == Lease(None, attached=True)
    assert unleash.writes() == []
    assert read_state(admin, "canary").lease_until is None


def test_a_lease_is_found_wherever_it_stands(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5, segments=[3, 4]))
    ensure_lease(admin, "canary", LENGTH)
    unleash.just_before("PATCH", "/s1", unleash.here()["strategies"][0]["segments"].reverse)
    remove_lease(admin, "canary")
    assert sorted(unleash.here()["strategies"][0]["segments"]) == [3, 4]


def test_what_changes_at_the_same_moment_is_not_overwritten(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5))
    ensure_lease(admin, "canary", LENGTH)

    def a_person_saves() -> None:
        unleash.here()["strategies"][0]["segments"] = [3]

    unleash.just_before("PATCH", "/s1", a_person_saves)
    with pytest.raises(ChangedMeanwhile, match="segments of canary"):
        remove_lease(admin, "canary")
    assert unleash.here()["strategies"][0]["segments"] == [3]


def test_without_one_strategy_there_is_nothing_to_lease(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5), gradual(7))
    with pytest.raises(StrategyAmbiguous):
        ensure_lease(admin, "canary", LENGTH)
    assert unleash.writes() == []


def test_a_fault_of_the_segments_is_no_obstacle_to_a_rollback(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5, segments=[9]))
    unleash.fail("GET", "/segments", *[Answer(cut=True)] * 2)
    assert not turn_off(admin, "canary").enabled
    unleash.fail("GET", "/segments", *[error(500, "no segments")] * 3)
    with pytest.raises(ServerFault):
        read_state(admin, "canary")


@pytest.mark.parametrize("wish", [LENGTH, None])
@pytest.mark.parametrize("leased", [True, False])
def test_apply_brings_the_lease_into_order(
    unleash: FakeUnleash, admin: UnleashAdmin, leased: bool, wish: timedelta | None
) -> None:
    unleash.add("canary", gradual(0))
    wanted, options = DesiredFlag(name="canary", description="d", leased=leased), ApplyOptions(lease=wish)

    def planned() -> FlagPlan:
        return plan([wanted], read_current(admin, ["canary"], leased=["canary"]), options=options)[0]

    expected = (AttachLease("canary", LENGTH),) if leased and wish else ()
    assert planned().steps == expected
    ensure_lease(admin, "canary", LENGTH)
    assert planned().steps == (() if expected else (RemoveLease("canary"),))
    for step in planned().steps:
        carry_out(admin, step, options)
    assert planned().steps == ()


def test_apply_keeps_what_a_person_took_off(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(0))
    ensure_lease(admin, "canary", LENGTH)
    person = UnleashAdmin(unleash.url, "user:person")
    remove_lease(person, "canary")
    wanted = DesiredFlag(name="canary", description="d", leased=True, initial=Initial(enabled=True))
    (only,) = plan(
        [wanted], read_current(admin, ["canary"], leased=["canary"]), options=ApplyOptions(lease=LENGTH)
    )
    assert only.steps == ()
    assert only.kept == (
        KeptDifference("lease", "none", "15m", " (ada took the lease off at 2026-11-23 06:00:06 UTC)"),
    )
    assert ensure_lease(admin, "canary", LENGTH).declined
    assert ensure_lease(admin, "canary", LENGTH, insist=True).attached


def test_links_are_put_changed_and_left(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(0))
    unleash.flags["canary"]["links"] = [
        {"id": "l1", "url": "https://old.example", "title": "Runbook"},
        {"id": "l2", "url": "https://mine.example", "title": "mine"},
    ]
    options = ApplyOptions(
        links=(("Runbook", "https://new.example/"), ("Dashboard", "http://b:3000/d?b=1&a=2"))
    )
    wanted = DesiredFlag(name="canary", description="d")
    (only,) = plan([wanted], read_current(admin, ["canary"]), options=options)
    assert only.steps == (
        SetLink("canary", "Runbook", "https://new.example/", "l1"),
        SetLink("canary", "Dashboard", "http://b:3000/d?b=1&a=2"),
    )
    for step in only.steps:
        carry_out(admin, step, options)
    assert [one["title"] for one in unleash.flags["canary"]["links"]] == ["Runbook", "mine", "Dashboard"]
    assert plan([wanted], read_current(admin, ["canary"]), options=options)[0].steps == ()
