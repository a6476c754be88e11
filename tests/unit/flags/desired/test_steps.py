"""Carrying out plans: once, twice, stopped half-way, and beside a person who is faster."""

from typing import Any

import pytest

from flags.desired.file import DesiredFlag, Initial
from flags.desired.plan import plan, read_current
from flags.desired.steps import FlagStep, carry_out
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile, ServerFault, StrategyMissing
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual

WANTED = DesiredFlag(name="canary", description="new", initial=Initial(enabled=True, percent=5))


def steps(admin: UnleashAdmin, *, force: bool = False) -> tuple[FlagStep, ...]:
    (only,) = plan([WANTED], read_current(admin, ["canary"]), force_share=force)
    return only.steps


def apply(admin: UnleashAdmin, *, force: bool = False) -> None:
    for step in steps(admin, force=force):
        carry_out(admin, step)


def test_a_new_flag_is_made_and_a_second_run_finds_nothing(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    apply(admin)
    assert unleash.flags["canary"]["description"] == "new"
    assert unleash.here()["enabled"]
    (strategy,) = unleash.here()["strategies"]
    assert strategy["parameters"] == {"rollout": "5", "stickiness": "userId", "groupId": "canary"}
    writes = len(unleash.writes())
    apply(admin)
    assert len(unleash.writes()) == writes


@pytest.mark.parametrize("done", [0, 1])
def test_what_was_stopped_is_finished_by_the_next_run(
    unleash: FakeUnleash, admin: UnleashAdmin, done: int
) -> None:
    for step in steps(admin)[:done]:
        carry_out(admin, step)
    apply(admin)
    assert (unleash.here()["enabled"], unleash.rollout()) == (True, "5")


@pytest.mark.parametrize("done", [1, 2, 3])
def test_stopped_anywhere_nobody_is_exposed_beyond_the_file(
    unleash: FakeUnleash, admin: UnleashAdmin, done: int
) -> None:
    for step in steps(admin)[:done]:
        carry_out(admin, step)
    here = unleash.here()
    assert not here["enabled"] or unleash.rollout() == "5"


def test_everything_that_differs_is_mended(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, parameters={"stickiness": "random", "groupId": "x"}), enabled=False)
    unleash.flags["canary"]["type"] = "experiment"
    apply(admin, force=True)
    (strategy,) = unleash.here()["strategies"]
    assert strategy["parameters"] == {"rollout": "5", "stickiness": "userId", "groupId": "canary"}
    assert (unleash.flags["canary"]["type"], unleash.here()["enabled"]) == ("release", True)
    assert steps(admin, force=True) == ()


def test_a_person_who_was_faster_wins_even_over_force(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))

    def a_person_sets_0() -> None:
        unleash.here()["strategies"][0]["parameters"]["rollout"] = "0"

    unleash.just_before("PATCH", "/s1", a_person_sets_0)
    with pytest.raises(ChangedMeanwhile):
        apply(admin, force=True)
    assert unleash.rollout() == "0"


def test_a_strategy_that_goes_before_the_switch_leaves_it_off(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    create, add, switch = steps(admin)
    carry_out(admin, create)
    carry_out(admin, add)
    unleash.here()["strategies"].clear()
    with pytest.raises(StrategyMissing):
        carry_out(admin, switch)
    assert not unleash.here()["enabled"]


def test_a_switch_to_off_is_verified(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    off = WANTED.model_copy(update={"initial": Initial(enabled=False, percent=5)})
    (only,) = plan([off], read_current(admin, ["canary"]), force_share=True)
    for step in only.steps:
        carry_out(admin, step)
    assert not unleash.here()["enabled"]


def test_a_fault_stops_and_names_the_call(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    faults: list[Any] = [error(500, "no database")]
    unleash.fail("POST", "/strategies", *faults)
    with pytest.raises(ServerFault, match="POST /api/admin/projects/default/features/canary/environments"):
        apply(admin)
    assert not unleash.here()["enabled"]
