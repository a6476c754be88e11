"""How many calls of Unleash an order costs, and that none is saved where it protects users."""

import copy
from datetime import timedelta

import pytest

from flags.canary.lease import ensure_lease
from flags.canary.marks import QUARANTINE
from flags.canary.share import read_state, set_share, turn_on
from flags.unleash.admin import LINES, UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile
from tests.unit.flags.fake_unleash import FakeUnleash, gradual

COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO"]}
SHARE, ON = ("PATCH", "s"), ("POST", "on")


@pytest.fixture(params=["leased", "without a lease"])
def flag(unleash: FakeUnleash, admin: UnleashAdmin, request: pytest.FixtureRequest) -> str:
    """A flag at 1%, off, with a blocked version."""
    unleash.add("canary", gradual(1, id="s"), enabled=False)
    unleash.tags["canary"] = [{"type": QUARANTINE, "value": "1 aaaaaaaaaaaa"}]
    if request.param == "leased":
        ensure_lease(admin, "canary", timedelta(minutes=15))
    unleash.calls.clear()
    return "canary"


@pytest.mark.parametrize(
    ("percent", "on", "expect", "writes"),
    [
        pytest.param(5, True, None, [SHARE], id="share"),
        pytest.param(5, True, 1, [SHARE], id="share that is seen"),
        pytest.param(5, False, None, [SHARE, ON], id="share and switch"),
        pytest.param(1, False, None, [ON], id="switch"),
        pytest.param(0, True, None, [SHARE], id="nobody"),
        pytest.param(1, True, None, [], id="nothing"),
    ],
)
def test_a_share_takes_six_calls_and_the_answer_is_what_unleash_says(
    unleash: FakeUnleash,
    admin: UnleashAdmin,
    flag: str,
    percent: int,
    on: bool,
    expect: int | None,
    writes: list[tuple[str, str]],
) -> None:
    unleash.here()["enabled"] = on
    state = set_share(admin, flag, percent, expect=expect, version="2 bbbbbbbbbbbb")
    assert len(unleash.calls) <= 6, [(call.method, call.path) for call in unleash.calls]
    assert unleash.writes() == writes
    assert state == read_state(admin, flag)
    assert (state.percent, state.enabled) == (percent, True)


def test_turning_on_takes_six_calls(unleash: FakeUnleash, admin: UnleashAdmin, flag: str) -> None:
    state = turn_on(admin, flag, version="2 bbbbbbbbbbbb")
    assert len(unleash.calls) <= 6
    assert state == read_state(admin, flag)


@pytest.mark.parametrize("how", ["removed", "disabled"])
def test_strategies_that_go_while_both_are_ordered_leave_it_off(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str, how: str
) -> None:
    def a_person_takes_it_away() -> None:
        if how == "removed":
            gone = unleash.here()["strategies"].pop()
            unleash.log("feature-strategy-remove", flag, "ada", "production", preData=gone)
        else:
            unleash.save(disabled=True)

    unleash.just_before("POST", "/on", a_person_takes_it_away)
    with pytest.raises(ChangedMeanwhile, match=r"changed while it was turned on .* it is off again"):
        set_share(admin, flag, 10, version="2 bbbbbbbbbbbb")
    assert not unleash.here()["enabled"]


def test_what_a_person_does_right_after_both_orders_is_what_is_answered(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    def a_person_goes_on() -> None:
        unleash.save(parameters={"rollout": "7"}, constraints=[COUNTRY])
        unleash.here()["enabled"] = False
        unleash.log("feature-environment-disabled", flag, "ada", "production")

    unleash.just_before("GET", "search/events", a_person_goes_on)
    state = set_share(admin, flag, 10, version="2 bbbbbbbbbbbb")
    assert (state.percent, state.enabled, state.constraints) == (7, False, ("country IN NO",))
    assert (state.changed_by, state.change_in_words) == ("ada", "turned off")
    assert state == read_state(admin, flag)


def test_a_flag_that_is_archived_after_both_orders_is_so_in_the_answer(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    def a_person_archives_it() -> None:
        unleash.archive[flag] = unleash.flags.pop(flag)
        unleash.log("feature-archived", flag, "ada")

    unleash.just_before("GET", "search/events", a_person_archives_it)
    state = set_share(admin, flag, 10, version="2 bbbbbbbbbbbb")
    assert (state.exists, state.archived, state.changed_by) == (False, True, "ada")


def test_what_both_orders_overwrote_comes_back(unleash: FakeUnleash, admin: UnleashAdmin, flag: str) -> None:
    unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[COUNTRY]))
    state = set_share(admin, flag, 25, version="2 bbbbbbbbbbbb")
    assert (state.percent, state.enabled, state.constraints) == (25, True, ("country IN NO",))
    assert state == read_state(admin, flag)


def test_a_share_that_somebody_else_sets_is_not_turned_on_by_who_expects_another(
    unleash: FakeUnleash, admin: UnleashAdmin, flag: str
) -> None:
    unleash.overwrite("strategies/s", lambda: unleash.save(parameters={"rollout": "60"}))
    with pytest.raises(ChangedMeanwhile, match="it is 60, as ada wants"):
        set_share(admin, flag, 25, expect=1, version="2 bbbbbbbbbbbb")
    assert ON not in unleash.writes()
    assert (unleash.rollout(), unleash.here()["enabled"]) == ("60", False)


def test_a_write_of_the_same_content_long_ago_is_not_taken_for_this_one(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    """Yesterday's loss that nobody minded is not put back today."""
    unleash.add("canary", gradual(1, id="s"))
    unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[COUNTRY]))
    admin.change_parameter("canary", "s", "rollout", "25")  # as one who was ended before the look behind
    admin.change_parameter("canary", "s", "rollout", "1")
    for event in unleash.events:
        event["createdAt"] = "2026-11-22T06:00:00.000Z"
    set_share(admin, "canary", 25)
    assert unleash.here()["strategies"][0]["constraints"] == []


def test_the_last_change_is_found_behind_a_log_full_of_another_environment(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5, id="s"))
    unleash.save(user="eve", parameters={"rollout": "6"})
    for _ in range(LINES):
        unleash.log("feature-environment-enabled", "canary", "ada", "development")
    state = read_state(admin, "canary")
    assert (state.changed_by, state.change_in_words) == ("eve", "share 5% -> 6%")
    unleash.archive["canary"] = copy.deepcopy(unleash.flags.pop("canary"))
    unleash.log("feature-archived", "canary", "ada")
    for _ in range(LINES):
        unleash.log("feature-strategy-update", "canary", "ada", "development")
    assert read_state(admin, "canary").archived
