"""Writes that meet a person's: what was lost is put back, whoever of Canario's programs it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flags.canary.history import history
from flags.canary.lease import ensure_lease, remove_lease, renew
from flags.canary.lease_segment import segment_name
from flags.canary.share import set_share
from flags.canary.writes import TRIES, put_back
from flags.desired.steps import ChangeParameter, carry_out
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile, NotVerified, UnexpectedAnswer
from tests.unit.flags.conftest import QUICK
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import Answer

COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO"]}
LENGTH = timedelta(minutes=15)
JOB = "canario-rollout"


def strategy(unleash: FakeUnleash) -> dict[str, Any]:
    (found,) = unleash.here()["strategies"]
    return dict(found)


@pytest.fixture
def flag(unleash: FakeUnleash) -> str:
    unleash.add("canary", gradual(5, id="s"))
    return "canary"


def narrow(unleash: FakeUnleash) -> None:
    unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[COUNTRY]))


def test_a_write_that_meets_nobody_looks_once_and_writes_once(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    set_share(admin, flag, 25)
    assert unleash.writes() == [("PATCH", "s")]


def test_a_log_that_tells_nothing_is_no_proof(unleash: FakeUnleash, admin: UnleashAdmin, flag: str) -> None:
    empty, before = Answer({"events": []}), Answer({"events": unleash.events[::-1]})
    for share, log in ((25, empty), (26, before)):
        unleash.fail("GET", "/search/events", log)
        with pytest.raises(UnexpectedAnswer, match="not known whether a person's change was overwritten"):
            set_share(admin, flag, share)
    unleash.fail("GET", "/search/events", empty)
    with pytest.raises(UnexpectedAnswer, match="tells nothing of canary, which exists"):
        history(admin, flag)


def test_an_overwritten_constraint_comes_back(unleash: FakeUnleash, admin: UnleashAdmin, flag: str) -> None:
    narrow(unleash)
    state = set_share(admin, flag, 25)
    assert (state.percent, state.constraints) == (25, ("country IN NO",))
    assert unleash.writes() == [("PATCH", "s")] * 2
    step = ChangeParameter(flag, "s", "stickiness", "userId", "sessionId")
    unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[]))
    carry_out(admin, step)
    assert strategy(unleash)["constraints"] == []
    assert strategy(unleash)["parameters"]["stickiness"] == "sessionId"


def test_the_lease_does_not_cost_a_persons_change(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    unleash.overwrite("strategies/s", lambda: unleash.save(parameters={"rollout": "1"}, segments=[99]))
    lease = ensure_lease(admin, flag, LENGTH)
    assert lease.attached
    assert strategy(unleash)["parameters"]["rollout"] == "1"
    assert set(strategy(unleash)["segments"]) == {99, unleash.segments[0]["id"]}
    narrow(unleash)
    remove_lease(admin, flag)
    assert strategy(unleash)["constraints"] == [COUNTRY]
    assert strategy(unleash)["segments"] == [99]


@pytest.mark.parametrize("theirs", ["0", "3", "60"])
def test_a_share_on_which_a_raise_rests_stays_the_persons(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str, theirs: str
) -> None:
    unleash.overwrite("strategies/s", lambda: unleash.save(parameters={"rollout": theirs}))
    with pytest.raises(
        ChangedMeanwhile, match=f"ada changed canary in production .* it is {theirs}, as ada wants"
    ):
        set_share(admin, flag, 25, expect=5)
    assert unleash.rollout() == theirs
    unleash.overwrite("strategies/s", lambda: unleash.save(parameters={"rollout": "7"}))
    assert set_share(admin, flag, 25).percent == 25, "without expect the last order wins"


def test_a_person_who_goes_on_while_it_is_put_back_wins(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    sweden = {**COUNTRY, "values": ["SE"]}

    def first() -> None:
        unleash.save(constraints=[COUNTRY])
        unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[sweden]))

    unleash.overwrite("strategies/s", first)
    set_share(admin, flag, 25)
    assert strategy(unleash)["constraints"] == [sweden]


def test_who_changes_it_without_end_needs_a_person(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    numbers = iter(range(100))

    def again() -> None:
        unleash.save(constraints=[{**COUNTRY, "values": [str(next(numbers))]}])
        unleash.overwrite("strategies/s", again)

    unleash.overwrite("strategies/s", again)
    with pytest.raises(NotVerified, match="again and again"):
        set_share(admin, flag, 25)
    assert unleash.writes() == [("PATCH", "s")] * (TRIES + 1)


def test_a_strategy_that_was_removed_meanwhile_stays_away(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    def remove() -> None:
        gone = unleash.here()["strategies"].pop()
        unleash.log("feature-strategy-remove", flag, "ada", "production", preData=gone)

    def narrow_then_remove() -> None:
        unleash.save(constraints=[COUNTRY])
        unleash.just_before("PATCH", "/s", remove)

    unleash.overwrite("strategies/s", narrow_then_remove)
    set_share(admin, flag, 25)
    assert unleash.here()["strategies"] == []


def test_a_job_puts_back_what_it_undid_before_it_was_ended(unleash: FakeUnleash, flag: str) -> None:
    job = UnleashAdmin(unleash.url, "user:rollout", timeouts=QUICK)
    assert put_back(job, flag, JOB) is None
    narrow(unleash)
    job.change_parameter(flag, "s", "rollout", "25")
    assert strategy(unleash)["constraints"] == []
    told = put_back(job, flag, JOB)
    assert told == (
        "what ada had set was put back, which Unleash had overwritten: constraint country IN NO added"
    )
    assert strategy(unleash)["constraints"] == [COUNTRY]
    assert put_back(job, flag, JOB) is None


SEGMENT = "/api/admin/segments/"


@pytest.mark.parametrize(
    ("save", "kept"),
    [
        pytest.param(lambda clock: [clock, COUNTRY], ["DATE_BEFORE", "IN"], id="a condition more"),
        pytest.param(lambda _: [COUNTRY], ["IN"], id="without the time"),
        pytest.param(
            lambda clock: [clock | {"value": "2099-01-01T00:00:00.000Z"}], ["DATE_BEFORE"], id="a later end"
        ),
        pytest.param(
            lambda clock: [clock | {"value": "2026-01-01T00:00:00.000Z"}],
            ["DATE_BEFORE"],
            id="an earlier end",
        ),
    ],
)
def test_a_renewal_costs_a_person_nothing(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str, save: Any, kept: list[str]
) -> None:
    ensure_lease(admin, flag, LENGTH)
    (segment,) = unleash.segments
    assert segment["name"] == segment_name(flag, "production")
    until = datetime.now(UTC) + 2 * LENGTH

    def person() -> None:
        (clock,) = segment["constraints"]
        before = dict(segment)
        segment["constraints"] = save(clock)
        unleash.log("segment-updated", None, "ada", data=segment, preData=before)

    unleash.just_before("PUT", SEGMENT, person)  # the renewal has read it already
    lease = renew(admin, flag, until)
    assert lease
    assert sorted(one["operator"] for one in segment["constraints"]) == kept
    ends = [one["value"] for one in segment["constraints"] if one["operator"] == "DATE_BEFORE"]
    assert all(end.startswith(("2099", f"{until:%Y-%m-%dT%H:%M:%S}")) for end in ends)
    later = until + LENGTH
    renew(admin, flag, later)
    assert sorted(one["operator"] for one in segment["constraints"]) == kept
